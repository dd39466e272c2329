//! What a static Rust program weighs that does nothing; the waiter is measured against it.

fn main() {}
