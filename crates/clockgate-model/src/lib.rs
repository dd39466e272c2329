//! The machine of the program, from the program's own source, for the search in `tests/model`.

#[path = "../../../src/decision/mod.rs"]
pub mod decision;
