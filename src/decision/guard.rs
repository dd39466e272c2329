//! May this step be made?
/// Placeholder until the machine lands.
#[derive(Clone, Debug, Default)]
pub struct Evidence;
/// Placeholder.
#[derive(Clone, Debug)]
pub struct Refusal;
/// Placeholder.
pub fn judge() {}
