//! Blocking work for callers that must not block: on a thread of its own, awaited from any executor or none.

use std::time::{Duration, Instant};

use crate::error::Error;

/// The moment after a timeout; one that is longer than any wait is cut to a year.
pub(crate) fn deadline_in(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(Duration::from_secs(365 * 24 * 3600))
}

/// Runs `work` on a new thread. Dropping the future does not stop it; its result is dropped then, which releases it.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (done, result) = tokio::sync::oneshot::channel();
    let begun = std::thread::Builder::new().name("incumbent-ask".into()).spawn(move || {
        let _ = done.send(work());
    });
    let failed = |source| Error::Io { doing: "start a thread for", path: "incumbent-ask".into(), source };
    begun.map_err(failed)?;
    result.await.unwrap_or_else(|_| Err(failed(std::io::Error::other("the thread ended without a result"))))
}
