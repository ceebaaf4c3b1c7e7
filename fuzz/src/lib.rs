//! What several targets need: memory that is counted, a file to write to, pieces of any length.

pub mod expected;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use incumbent_proto::{Frame, FrameBuffer, Malformed};

/// Counts what is allocated, and passes it on.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        PEAK.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What `work` needs of memory, in bytes: the largest piece, and at most at once.
pub fn memory<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    LARGEST.store(0, Relaxed);
    let done = work();
    (done, LARGEST.load(Relaxed), PEAK.load(Relaxed).saturating_sub(before))
}

/// A directory of this process's own; `ci/fuzz.sh` gives `TMPDIR`, and removes it.
pub fn scratch() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a scratch directory");
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is ours");
    dir
}

/// The frames of a stream, the fatal error at its end, and whether it stops in the middle of a frame.
pub fn frames<'a>(stream: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<Malformed>, bool) {
    let (mut buffer, mut frames) = (FrameBuffer::new(), Vec::new());
    for piece in stream {
        buffer.extend(piece);
        while let Some(next) = buffer.next_frame().transpose() {
            match next {
                Ok(frame) => frames.push(frame),
                Err(fatal) => return (frames, Some(fatal), buffer.is_mid_frame()),
            }
        }
    }
    (frames, None, buffer.is_mid_frame())
}

/// Cuts bytes into pieces, whose lengths follow from a seed: small ones for small seeds.
pub fn pieces(mut bytes: &[u8], seed: u16) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let most = 1 + usize::from(seed % 64) * usize::from(seed % 64);
        let (piece, rest) = bytes.split_at((1 + (state >> 16) as usize % most).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
