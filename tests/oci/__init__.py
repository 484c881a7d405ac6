"""What behaviour tests are made of: bundles, the runtime to test, and the machine that it must not change."""
