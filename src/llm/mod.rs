//! The model edge: OpenAI-compatible chat completions, OpenAI and Azure.
//!
//! | file | idea |
//! | --- | --- |
//! | `config` | where the model is and how long we wait for it |
//! | `error` | failures that classify themselves |
//! | `limits` | what the provider says about its rate limits |
//! | `wire` | the JSON of requests and answers |
//! | `assemble` | server-sent chunks → text and whole tool calls |
//! | `client` | [`Model`]: streaming, structured output, health |

mod assemble;
mod client;
mod config;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod limits;
mod wire;

#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;

pub use assemble::{Delta, Finish};
pub use client::{DeltaStream, Model, Request};
pub use config::{Flavor, ModelConfig};
pub use error::ModelError;
pub use limits::Limits;
pub use wire::{Message, ToolCall, ToolSpec, Usage};
