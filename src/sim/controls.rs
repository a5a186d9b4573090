//! What may be changed about the world while it runs: the carrier's limits, how often a caller's number is answered,
//! what the model says of its own limits, and who is at which number.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde::{Deserialize, Serialize};

use super::people::Role;

/// The settings of a running world; what is not given is as it was at the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Calls a second of the wall that leave the carrier's queue; those above it wait, and `queue_time` says how long.
    pub max_cps: Option<f64>,
    /// Calls that may live at once.
    pub max_concurrent: Option<usize>,
    /// Of those who would answer, the share that does, 0 to 1, by the caller's number: a caller known as a nuisance.
    pub answer_rates: BTreeMap<String, f64>,
    /// The model's `x-ratelimit-*` headers.
    pub model_limits: ModelLimits,
    /// Who is at these numbers, instead of whom the number tells.
    pub cast: BTreeMap<String, Role>,
}

/// `x-ratelimit-*` headers of the model, as it would write them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelLimits {
    /// `x-ratelimit-remaining-requests`.
    pub remaining_requests: Option<u64>,
    /// `x-ratelimit-remaining-tokens`.
    pub remaining_tokens: Option<u64>,
    /// `x-ratelimit-reset-requests`, such as `6m0s` or `120ms`.
    pub reset_requests: Option<String>,
    /// `x-ratelimit-reset-tokens`, likewise.
    pub reset_tokens: Option<String>,
}

impl ModelLimits {
    /// Names and values of the headers that are set.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let number = |n: Option<u64>| n.map(|n| n.to_string());
        [
            ("x-ratelimit-remaining-requests", number(self.remaining_requests)),
            ("x-ratelimit-remaining-tokens", number(self.remaining_tokens)),
            ("x-ratelimit-reset-requests", self.reset_requests.clone()),
            ("x-ratelimit-reset-tokens", self.reset_tokens.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

impl Settings {
    /// # Errors
    /// The field that cannot be used, and why.
    fn check(&self) -> Result<(), String> {
        if self.max_cps.is_some_and(|cps| !cps.is_finite() || cps <= 0.0) {
            return Err("max_cps must be above 0".into());
        }
        match self.answer_rates.iter().find(|(_, rate)| !(0.0..=1.0).contains(*rate)) {
            Some((caller, _)) => Err(format!("answer_rates.{caller} must lie between 0 and 1")),
            None => Ok(()),
        }
    }
}

/// The handle on a world's settings. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Controls(Arc<RwLock<Settings>>);

impl Controls {
    /// The settings as they stand.
    #[must_use]
    pub fn get(&self) -> Settings {
        self.read().clone()
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Settings> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces them all.
    ///
    /// # Errors
    /// The field that cannot be used, and why; then nothing has changed.
    pub fn set(&self, settings: Settings) -> Result<(), String> {
        settings.check()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(())
    }

    /// Changes some of them.
    ///
    /// # Errors
    /// As for [`Self::set`].
    pub fn change(&self, change: impl FnOnce(&mut Settings)) -> Result<(), String> {
        let mut settings = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = settings.clone();
        change(&mut changed);
        changed.check()?;
        *settings = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let controls = Controls::default();
        controls.change(|s| s.max_cps = Some(2.0)).expect("it can be used");
        assert!(controls.change(|s| s.max_cps = Some(f64::NAN)).is_err());
        let wrong = Settings { answer_rates: [("+12025550199".into(), 1.5)].into(), ..Settings::default() };
        assert!(controls.set(wrong).is_err_and(|why| why.contains("answer_rates.+12025550199")));
        assert_eq!(controls.get().max_cps, Some(2.0));
    }

    #[test]
    fn settings_read_from_json() {
        let text = r#"{"max_cps": 2, "answer_rates": {"+12025550199": 0.1}, "model_limits": {"remaining_requests": 3, "reset_requests": "6m0s"},
            "cast": {"+13125550100": {"kind": "wants_callback", "line": "call me tomorrow at three"}}}"#;
        let settings: Settings = serde_json::from_str(text).expect("well formed");
        assert_eq!(
            settings.model_limits.headers(),
            [
                ("x-ratelimit-remaining-requests", "3".to_owned()),
                ("x-ratelimit-reset-requests", "6m0s".to_owned())
            ]
        );
        assert!(serde_json::from_str::<Settings>(r#"{"max_cp": 2}"#).is_err());
    }
}
