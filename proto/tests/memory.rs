//! Whatever the lengths in a frame say: no allocation over the limit, and in all about twice it.
#![cfg(not(miri))] // megabytes, thousands of times: it would take Miri an hour
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]
#![allow(unsafe_code, reason = "an allocator that counts is unsafe; it only passes calls on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use incumbent_proto::*;

/// A frame holds its bytes besides; this is what reading it may cost.
const TWICE: usize = 2 * MAX_BODY + 16 * 1024;

#[test]
fn hostile_lengths_cost_nothing_to_speak_of() {
    for length in [1, 1 << 15, (1 << 15) + 1, 1 << 20, (1 << 20) + 1, 1 << 32, u64::MAX / 24, u64::MAX] {
        for kind in Kind::ALL {
            // The length stands wherever a length can stand.
            for at in 0..200 {
                let mut body = vec![0; at];
                body.extend(length.to_le_bytes());
                read(kind, body.clone());
                body.extend([0; 64]);
                read(kind, body);
            }
        }
    }
}

#[test]
fn a_short_body_reserves_little_whatever_it_promises() {
    for length in [1 << 12, 1 << 14, 1 << 15, 1 << 20] {
        for kind in Kind::ALL {
            for at in 0..200 {
                let mut body = vec![0; at];
                body.extend(u64::to_le_bytes(length));
                let length = u32::try_from(body.len()).unwrap();
                let header = Header { version: VERSION, kind: kind.byte(), flags: 0, length };
                let frame = Frame { header, body };
                let (_, cost) = measured(|| (Request::decode(&frame), Reply::decode(&frame)));
                assert!(cost.peak <= 16 * 1024, "{kind:?}: {cost:?}");
            }
        }
    }
}

#[test]
fn a_body_full_of_lengths_stays_within_the_limit() {
    for length in [0, 1, 8, 1 << 15, 1 << 20, u64::MAX] {
        let body: Vec<u8> = length.to_le_bytes().into_iter().cycle().take(MAX_BODY).collect();
        for kind in Kind::ALL {
            read(kind, body.clone());
        }
    }
}

#[test]
fn a_list_of_nothing_is_limited_in_its_entries() {
    let send = |entries: usize| {
        let mut body = vec![0; MAX_BODY];
        body[..8].copy_from_slice(&(entries as u64).to_le_bytes());
        read(Kind::Send, body)
    };
    assert!(send(MAX_LIST));
    assert!(!send(MAX_LIST + 1));
    assert!(!send(MAX_BODY / 8 - 3));
}

#[test]
fn two_lists_of_nothing_stay_within_the_limit() {
    let list = vec![Vec::new(); MAX_LIST];
    let status = StatusReply {
        phase: Phase::Ready,
        pid: 1,
        instance_id: [0; 16],
        generation: 1,
        started_at_us: 0,
        uptime_us: 0,
        version: String::new(),
        command: list.clone(),
        note: Some("n".repeat(MAX_BODY / 2 - 200)),
        busy: None,
        supervisor: None,
        rss_bytes: None,
        cpu_percent: None,
        lag_us: None,
        child: Some(Child { pid: 1, command: list }),
        problem: None,
    };
    let frame = Reply::StatusIs(Box::new(status)).encode().unwrap();
    assert!(read(Kind::StatusIs, frame[HEADER_LEN..].to_vec()));
}

#[test]
fn the_longest_message_goes_and_comes_and_a_longer_one_does_not() {
    let answer = |length| Reply::Answer(Answer { code: 0, body: vec![7; length] });
    let longest = answer(MAX_BODY - 12);
    let frame = longest.encode().unwrap();
    assert_eq!(frame.len(), HEADER_LEN + MAX_BODY);
    let mut buffer = FrameBuffer::new();
    buffer.extend(&frame);
    assert_eq!(Reply::decode(&buffer.next_frame().unwrap().unwrap()), Ok(longest));
    assert_eq!(answer(MAX_BODY - 11).encode(), Err(TooLong));
}

#[test]
fn a_list_that_nobody_would_read_is_not_written() {
    let send = |entries| {
        let args = vec![Vec::new(); entries];
        Request::Send(Send { args, cwd: Vec::new(), body: Vec::new() }).encode()
    };
    assert!(send(MAX_LIST).is_ok());
    assert_eq!(send(MAX_LIST + 1), Err(TooLong));
}

#[test]
fn a_message_far_too_long_is_not_made_first() {
    let huge = Request::Send(Send { args: vec![vec![0; 1 << 16]; 256], cwd: Vec::new(), body: Vec::new() });
    let (result, cost) = measured(|| huge.encode());
    assert_eq!(result, Err(TooLong));
    assert!(cost.peak <= 2 * TWICE, "{cost:?}");
}

#[test]
fn a_header_alone_reserves_nothing() {
    let header = Header { version: 1, kind: 5, flags: 0, length: 1 << 20 }.to_bytes();
    let (_buffer, cost) = measured(|| {
        let mut buffer = FrameBuffer::new();
        buffer.extend(&header);
        assert_eq!(buffer.next_frame(), Ok(None));
        buffer
    });
    assert!(cost.peak <= 64, "{cost:?}");
}

#[test]
fn the_buffer_holds_one_frame_and_what_was_fed() {
    let body = vec![7; MAX_BODY - 12];
    let stream = Reply::Answer(Answer { code: 0, body }).encode().unwrap().repeat(3);
    for size in [1000, 4096, 65536] {
        let mut buffer = FrameBuffer::new();
        let mut frames = 0;
        let ((), cost) = measured(|| {
            for piece in stream.chunks(size) {
                buffer.extend(piece);
                while buffer.next_frame().unwrap().is_some() {
                    frames += 1;
                }
            }
        });
        assert_eq!(frames, 3);
        assert!(cost.largest <= HEADER_LEN + MAX_BODY + size, "{size}: {cost:?}");
        assert!(cost.peak <= TWICE + size, "{size}: {cost:?}");
    }
}

/// Reads a body as both sides would, checks what that costs, and says whether it was a message.
fn read(kind: Kind, body: Vec<u8>) -> bool {
    let length = u32::try_from(body.len()).unwrap();
    let frame = Frame { header: Header { version: VERSION, kind: kind.byte(), flags: 0, length }, body };
    let (is_request, request) = measured(|| Request::decode(&frame).is_ok());
    let (is_reply, reply) = measured(|| Reply::decode(&frame).is_ok());
    for cost in [request, reply] {
        assert!(cost.largest <= MAX_BODY, "{kind:?}: {cost:?}");
        assert!(cost.peak <= TWICE, "{kind:?}: {cost:?}");
    }
    is_request || is_reply
}

/// What a piece of work took from the allocator, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    held: usize,
    peak: usize,
    largest: usize,
}

thread_local! {
    #[allow(clippy::missing_const_for_thread_local)] // it is one; for windows-gnu clippy does not see it
    static COST: Cell<Cost> = const { Cell::new(Cost { held: 0, peak: 0, largest: 0 }) };
}

fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    COST.set(Cost::default());
    let result = work();
    (result, COST.get())
}

fn count(freed: usize, made: usize) {
    let Cost { held, peak, largest } = COST.get();
    // A reallocation may have both pieces for a moment.
    let peak = peak.max(held + made);
    let held = (held + made).saturating_sub(freed);
    COST.set(Cost { held, peak, largest: largest.max(made) });
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
