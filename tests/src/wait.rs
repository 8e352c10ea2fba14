//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::binary::PATIENCE;

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(20);

/// Looks again and again until there is what is looked for, and returns it.
///
/// # Errors
/// A look fails, or [`PATIENCE`] ends: names what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {} s in vain for {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(REST).await;
    }
}

/// Looks again and again until a look succeeds, and returns what it found.
///
/// # Errors
/// The last look's error, once [`PATIENCE`] ends.
pub async fn until_ok<T>(mut look: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("still so after {} s", PATIENCE.as_secs())));
            }
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}
