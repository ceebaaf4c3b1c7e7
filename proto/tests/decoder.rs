//! The decoder meets any bytes, any pieces and any version, and answers with a message or an error.
#![cfg(not(miri))] // proptest makes texts from regular expressions, half a minute each under Miri; `corpus.rs` is run there
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

mod support;

use incumbent_proto::*;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in vec(any::<u8>(), 0..4096)) {
        let mut buffer = FrameBuffer::new();
        buffer.extend(&bytes);
        while let Ok(Some(frame)) = buffer.next_frame() {
            let _ = (Request::decode(&frame), Reply::decode(&frame));
        }
    }

    #[test]
    fn a_damaged_stream_is_frames_or_an_error(
        reply in support::reply(), request in support::request(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut stream = [request.encode().unwrap(), reply.encode().unwrap()].concat();
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let mut buffer = FrameBuffer::new();
        buffer.extend(&stream);
        while let Ok(Some(frame)) = buffer.next_frame() {
            let _ = (Request::decode(&frame), Reply::decode(&frame));
        }
    }

    #[test]
    fn any_body_is_a_message_or_an_error_that_keeps_the_connection(
        kind: u8, version: u16, current: bool,
        body in vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..300),
    ) {
        let version = if current { VERSION } else { version };
        let frame = frame(version, kind, body);
        let errors = [Request::decode(&frame).err(), Reply::decode(&frame).err()];
        for error in errors.into_iter().flatten() {
            prop_assert!(!error.is_fatal(), "{error}");
        }
    }

    #[test]
    fn any_request_comes_back_as_it_went(request in support::request()) {
        prop_assert_eq!(Request::decode(&only_frame(&request.encode().unwrap())), Ok(request));
    }

    #[test]
    fn any_reply_comes_back_as_it_went(reply in support::reply()) {
        prop_assert_eq!(Reply::decode(&only_frame(&reply.encode().unwrap())), Ok(reply));
    }

    #[test]
    fn any_pieces_give_the_same_frames(
        requests in vec(support::request(), 0..8), sizes in vec(1_usize..64, 1..20),
    ) {
        let frames = requests.iter().map(|request| request.encode().unwrap());
        let stream = frames.collect::<Vec<_>>().concat();
        let mut buffer = FrameBuffer::new();
        let mut read = Vec::new();
        let mut rest = stream.as_slice();
        for size in sizes.into_iter().cycle() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            buffer.extend(piece);
            while let Some(frame) = buffer.next_frame().unwrap() {
                read.push(Request::decode(&frame).unwrap());
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(!buffer.is_mid_frame());
        prop_assert_eq!(read, requests);
    }

    #[test]
    fn bytes_after_a_request_are_ignored(
        request in support::request(), more in vec(any::<u8>(), 0..40),
    ) {
        let mut frame = only_frame(&request.encode().unwrap());
        frame.body.extend(more);
        prop_assert_eq!(Request::decode(&frame), Ok(request));
    }

    #[test]
    fn bytes_after_a_reply_are_ignored(
        reply in support::reply(), more in vec(any::<u8>(), 0..40),
    ) {
        let mut frame = only_frame(&reply.encode().unwrap());
        frame.body.extend(more);
        prop_assert_eq!(Reply::decode(&frame), Ok(reply));
    }

    #[test]
    fn a_body_cut_anywhere_is_truncated(request in support::request(), reply in support::reply()) {
        let whole = only_frame(&request.encode().unwrap());
        let kind = whole.header.kind;
        for end in 0..whole.body.len() {
            let cut = Frame { header: whole.header, body: whole.body[..end].to_vec() };
            prop_assert_eq!(Request::decode(&cut), Err(Malformed::Truncated { kind }));
        }
        let whole = only_frame(&reply.encode().unwrap());
        let kind = whole.header.kind;
        for end in 0..whole.body.len() {
            let cut = Frame { header: whole.header, body: whole.body[..end].to_vec() };
            prop_assert_eq!(Reply::decode(&cut), Err(Malformed::Truncated { kind }));
        }
    }

    #[test]
    fn frozen_requests_are_read_in_every_version(request in support::request(), version: u16) {
        let (kind, frozen) = (request.kind().byte(), request.kind().is_frozen());
        let read = Request::decode(&only_frame(&request.encode_as(version).unwrap()));
        if frozen || version == VERSION {
            prop_assert_eq!(read, Ok(request));
        } else {
            prop_assert_eq!(read, Err(Malformed::Version { kind, version }));
        }
    }

    #[test]
    fn frozen_replies_are_read_in_every_version(reply in support::reply(), version: u16) {
        let (kind, frozen) = (reply.kind().byte(), reply.kind().is_frozen());
        let read = Reply::decode(&only_frame(&reply.encode_as(version).unwrap()));
        if frozen || version == VERSION {
            prop_assert_eq!(read, Ok(reply));
        } else {
            prop_assert_eq!(read, Err(Malformed::Version { kind, version }));
        }
    }

    #[test]
    fn any_header_comes_back_as_it_went(
        version: u16, kind: u8, flags: u8, length in 0_u32..=1 << 20,
    ) {
        let header = Header { version, kind, flags, length };
        prop_assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
    }
}

fn frame(version: u16, kind: u8, body: Vec<u8>) -> Frame {
    let length = u32::try_from(body.len()).unwrap();
    Frame { header: Header { version, kind, flags: 0, length }, body }
}

fn only_frame(bytes: &[u8]) -> Frame {
    let mut buffer = FrameBuffer::new();
    buffer.extend(bytes);
    let frame = buffer.next_frame().unwrap().unwrap();
    assert!(!buffer.is_mid_frame());
    frame
}
