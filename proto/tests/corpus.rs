//! What fuzzing has kept is read by every test run, and under Miri: inputs that each reached another part of the decoder.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::path::Path;

use incumbent_proto::*;

/// The streams of the fuzz target `decoder`, and those of `connection`, behind what these targets need for themselves.
fn streams() -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut streams = Vec::new();
    for (target, own) in [("decoder", 2), ("connection", 3)] {
        // A package from crates.io has no corpus.
        for file in std::fs::read_dir(corpus.join(target)).into_iter().flatten() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            streams.extend(bytes.get(own..).map(<[u8]>::to_vec));
        }
    }
    streams
}

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<Malformed>) {
    let (mut buffer, mut frames) = (FrameBuffer::new(), Vec::new());
    for piece in pieces {
        buffer.extend(piece);
        loop {
            match buffer.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(fatal) => return (frames, Some(fatal)),
            }
        }
    }
    (frames, None)
}

#[test]
fn what_fuzzing_kept_is_the_same_in_pieces_and_every_message_comes_back() {
    let every = if cfg!(miri) { 6 } else { 1 }; // a stream takes Miri half a second
    for stream in streams().into_iter().step_by(every) {
        let whole = frames(std::iter::once(&stream[..]));
        assert_eq!(frames(stream.chunks(7)), whole);
        for frame in whole.0 {
            let version = frame.header.version;
            let again = |bytes: Vec<u8>| frames(std::iter::once(&bytes[..])).0.remove(0);
            if let Ok(read) = Request::decode(&frame) {
                assert_eq!(Request::decode(&again(read.encode_as(version).unwrap())), Ok(read));
            } else if let Ok(read) = Reply::decode(&frame) {
                let written = read.encode_as(version).unwrap();
                // As bytes: not every number equals itself.
                assert_eq!(Reply::decode(&again(written.clone())).unwrap().encode_as(version), Ok(written));
            }
        }
    }
}
