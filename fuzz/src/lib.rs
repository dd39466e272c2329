//! What the targets check, in one place with the test that replays the corpus.

#[path = "../../tests/fuzz/checks/mod.rs"]
pub mod checks;
