//! What the publisher reads of others, as data: in a library, for those who have the text and no cluster.

#[doc(hidden)]
pub mod identity;
#[doc(hidden)]
pub mod kubeconfig;
#[doc(hidden)]
pub mod refusal;
mod yaml;
