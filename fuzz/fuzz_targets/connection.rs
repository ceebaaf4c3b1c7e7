//! The answering side of a connection: bytes at any boundary, a client that reads or does not, time that passes. Each request
//! is answered once, in order, and the same in pieces as whole; nothing is said after a release; nobody stays for ever.
#![no_main]

use std::time::Duration;

use incumbent::fuzzing::Conversation;
use incumbent_fuzz::{expected::Expected, memory, pieces};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (manner, seed, bytes) = input;
    let flag = |bit: u8| manner >> bit & 1 == 1;
    let (busy, messages, late, refuses) = (u64::from(flag(0)), flag(1), flag(2), flag(3));
    let (most, released) = (if flag(4) { usize::from(seed) } else { usize::MAX }, flag(5));
    let expected = Expected::of(bytes, busy, messages, refuses);
    for split in [0, seed] {
        let mut talk = Conversation::begin(busy, messages, late, refuses);
        let cut: Vec<&[u8]> = if split == 0 { vec![bytes] } else { pieces(bytes, seed).collect() };
        let ((), _, peak) = memory(|| {
            for piece in cut {
                talk.say(piece);
                talk.turn();
                talk.read(most);
                assert!(talk.unwritten() <= bytes.len() + 64 * 1024, "replies are not piled up");
            }
            talk.settle();
        });
        assert!(peak <= 8 * bytes.len() + 64 * 1024, "memory follows what was said: {peak}");
        expected.check(&talk.heard, late, false);
        let patience = Duration::from_millis([1000, 2001, 9000, 10_001][usize::from(manner >> 6)]);
        let stays = expected.stays(late, patience);
        assert_eq!(talk.pass(patience), stays, "{patience:?}");
        talk.release_if(released);
        talk.answer_all();
        talk.settle();
        expected.check(&talk.heard, false, released || !stays);
        talk.leave();
    }
});
