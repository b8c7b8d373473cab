//! The tests are in `tests/`; what they share is the crate `testbed`.
