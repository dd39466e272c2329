//! The machine.
/// Placeholder until the machine lands.
#[derive(Debug)]
pub struct Machine;
