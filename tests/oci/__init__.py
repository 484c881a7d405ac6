"""What the behaviour tests are made of: bundles, a runtime binary to test, and the machine it must not change."""
