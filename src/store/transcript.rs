//! A transcript made shorter: what must not be kept of a conversation is not kept in Redis either.

use crate::domain::call::Call;
use crate::domain::talk::Line;
use crate::store::connect::{Store, StoreError};
use crate::store::{keys, scripts};

impl Store {
    /// Puts `lines` in the place of the transcript of a call in wrap-up. False: somebody wrote since `call` was read,
    /// perhaps another line, and nothing was replaced.
    ///
    /// # Errors
    /// Where Redis does not answer; it may have been replaced, and the same may be asked again.
    pub async fn replace_transcript(&self, call: &Call, lines: &[Line]) -> Result<bool, StoreError> {
        let keys = vec![keys::session(&call.id), keys::transcript(&call.id)];
        let mut args = vec![format!("{:08x}", call.head.version), format!("{:08x}", call.head.epoch)];
        for line in lines {
            // A line that came out of Redis goes back in: text and numbers alone.
            args.push(serde_json::to_string(line).map_err(|_| StoreError::Protocol("replace_transcript"))?);
        }
        let answer = scripts::REPLACE_TRANSCRIPT.run(self, keys, args).await?;
        Ok(scripts::number(Some(&answer)) == 1)
    }
}
