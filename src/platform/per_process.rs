//! A value of which each process has its own: a forked child starts without.
//!
//! A child that was forked while another thread held a lock would wait for that lock for ever, so the value is not
//! cleared but left behind with the parent's number on it.

use std::{
    marker::PhantomData,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A value that is made at its first use in a process and stays for that process's life.
pub(crate) struct PerProcess<T: 'static> {
    made: AtomicPtr<(u32, T)>,
    kind: PhantomData<T>,
}

impl<T: Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { made: AtomicPtr::new(ptr::null_mut()), kind: PhantomData }
    }

    /// The value of this process.
    pub(crate) fn get(&self, make: impl Fn() -> T) -> &'static T {
        let pid = std::process::id();
        loop {
            let now = self.made.load(Ordering::Acquire);
            // SAFETY: null, or what `Box::leak` gave below; it is never freed.
            if let Some((process, value)) = unsafe { now.as_ref() } {
                if *process == pid {
                    return value;
                }
            }
            let fresh = Box::into_raw(Box::new((pid, make())));
            if self.made.compare_exchange(now, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: made two lines above and shown to nobody.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}
