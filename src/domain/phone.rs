//! Telephone numbers: any notation in, E.164 out, and the time zones a number may lie in.
use serde::{Deserialize, Serialize};
/// A number in E.164.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(String);
impl Phone {
    /// The number in E.164.
    #[must_use]
    pub fn e164(&self) -> &str {
        &self.0
    }
    /// Stub.
    ///
    /// # Errors
    /// None.
    pub fn parse(text: &str, _region: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}
impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("+…")
    }
}
