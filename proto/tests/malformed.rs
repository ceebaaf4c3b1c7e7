//! What is wrong with a frame is said by its own name, and ends the connection only when it must.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use incumbent_proto::*;

#[test]
fn one_byte_values_that_are_unknown_mean_something() {
    for byte in 4..=u8::MAX {
        assert_eq!(StopReason::from(byte), StopReason::Stop);
        assert_eq!(Outcome::from(byte), Outcome::Refused);
        assert_eq!(ProgressPhase::from(byte), ProgressPhase::Draining);
    }
    for byte in 6..=u8::MAX {
        assert_eq!(Why::from(byte), Why::Other);
    }
    assert_eq!([0, 1, 2, 3].map(|byte| u8::from(StopReason::from(byte))), [0, 1, 2, 0]);
    assert_eq!([0, 1, 2, 3].map(|byte| u8::from(Outcome::from(byte))), [0, 1, 2, 2]);
    assert_eq!([0, 1, 2, 3].map(|byte| u8::from(ProgressPhase::from(byte))), [0, 1, 2, 3]);
    assert_eq!([0, 1, 2, 3, 4, 5].map(|byte| u8::from(Why::from(byte))), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn values_out_of_place_are_errors_of_their_own() {
    let range = "a value out of its range";
    let option = "an option that is neither absent (0) nor present (1)";
    let text = "text that is not UTF-8";
    assert_eq!(request_error(Kind::Stop, &[0, 2]), value(Kind::Stop, range));
    assert_eq!(reply_error(Kind::Pong, &[&[0; 40][..], &[2]].concat()), value(Kind::Pong, option));
    let not_utf8 = [0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff];
    assert_eq!(reply_error(Kind::Refused, &not_utf8), value(Kind::Refused, text));
    assert_eq!(reply_error(Kind::StatusIs, &[3, 0, 0, 0]), value(Kind::StatusIs, range));
}

#[test]
fn a_kind_of_the_other_side_or_of_nobody_keeps_the_connection() {
    for byte in 0..=u8::MAX {
        let unknown = Malformed::Kind { kind: byte };
        let kind = Kind::from_byte(byte);
        let frame = frame(VERSION, byte, Vec::new());
        if !kind.is_some_and(Kind::is_request) {
            assert_eq!(Request::decode(&frame), Err(unknown.clone()));
        }
        if kind.is_none_or(Kind::is_request) {
            assert_eq!(Reply::decode(&frame), Err(unknown.clone()));
        }
        assert!(!unknown.is_fatal());
        assert_eq!(unknown.reply().kind(), Kind::Refused);
    }
}

#[test]
fn a_version_that_is_not_spoken_is_skipped_and_told() {
    let status = Request::Status(StatusRequest {});
    let ping = Request::Ping(Ping { nonce: [7; 16] });
    let mut buffer = FrameBuffer::new();
    buffer.extend(&Header { version: 2, kind: 200, flags: 0, length: 3 }.to_bytes());
    buffer.extend(b"???");
    buffer.extend(&status.encode_as(0).unwrap());
    buffer.extend(&ping.encode_as(u16::MAX).unwrap());
    for (kind, version) in [(200, 2), (4, 0)] {
        let error = Request::decode(&buffer.next_frame().unwrap().unwrap()).unwrap_err();
        assert_eq!(error, Malformed::Version { kind, version });
        assert!(!error.is_fatal());
        let unsupported = Unsupported { min: MIN_VERSION, max: VERSION };
        assert_eq!(error.reply(), Reply::Unsupported(unsupported));
    }
    assert_eq!(Request::decode(&buffer.next_frame().unwrap().unwrap()), Ok(ping));
    assert_eq!(buffer.next_frame(), Ok(None));
}

#[test]
fn a_foreign_magic_ends_the_connection_once_twelve_bytes_are_there() {
    let fatal = Malformed::Magic { found: *b"GET " };
    let mut buffer = FrameBuffer::new();
    buffer.extend(b"GET / HTTP/");
    assert_eq!(buffer.next_frame(), Ok(None));
    buffer.extend(b"1");
    assert_eq!(buffer.next_frame(), Err(fatal.clone()));
    buffer.extend(&Request::Watch(Watch {}).encode().unwrap());
    assert_eq!(buffer.next_frame(), Err(fatal.clone()));
    assert!(!buffer.is_mid_frame());
    assert!(fatal.is_fatal());
}

#[test]
fn a_length_over_the_limit_ends_the_connection_before_the_body() {
    let length = (1 << 20) + 1;
    let fatal = Malformed::Length { length };
    let mut buffer = FrameBuffer::new();
    buffer.extend(&Header { version: 1, kind: 1, flags: 0, length }.to_bytes());
    assert_eq!(buffer.next_frame(), Err(fatal.clone()));
    assert!(fatal.is_fatal());
}

#[test]
fn flags_are_ignored() {
    let mut frame = frame(VERSION, Kind::Watch.byte(), Vec::new());
    frame.header.flags = 0xff;
    assert_eq!(Request::decode(&frame), Ok(Request::Watch(Watch {})));
}

#[test]
fn half_a_frame_is_noticed() {
    let bytes = Request::Ping(Ping { nonce: [1; 16] }).encode().unwrap();
    let mut buffer = FrameBuffer::new();
    assert!(!buffer.is_mid_frame());
    for byte in &bytes[..bytes.len() - 1] {
        buffer.extend(&[*byte]);
        assert_eq!(buffer.next_frame(), Ok(None));
        assert!(buffer.is_mid_frame());
    }
    buffer.extend(&bytes[bytes.len() - 1..]);
    assert!(buffer.next_frame().unwrap().is_some());
    assert!(!buffer.is_mid_frame());
}

#[test]
fn errors_read_as_sentences_without_an_end() {
    let errors = [
        (Malformed::Magic { found: *b"GET " }, r#"frame begins with "GET ", not "INCB""#),
        (Malformed::Length { length: 2_000_000 }, "body of 2000000 bytes, at most 1048576 are allowed"),
        (Malformed::Version { kind: 4, version: 9 }, "kind 4 in version 9, only 1 to 1 are spoken"),
        (Malformed::Kind { kind: 77 }, "unknown kind 77"),
        (Malformed::Truncated { kind: 4 }, "body of kind 4 ends before the message does"),
        (
            Malformed::Value { kind: 3, what: "text that is not UTF-8" },
            "body of kind 3: text that is not UTF-8",
        ),
    ];
    for (error, words) in errors {
        assert_eq!(error.to_string(), words);
    }
}

fn value(kind: Kind, what: &'static str) -> Malformed {
    Malformed::Value { kind: kind.byte(), what }
}

fn request_error(kind: Kind, body: &[u8]) -> Malformed {
    Request::decode(&frame(VERSION, kind.byte(), body.to_vec())).unwrap_err()
}

fn reply_error(kind: Kind, body: &[u8]) -> Malformed {
    Reply::decode(&frame(VERSION, kind.byte(), body.to_vec())).unwrap_err()
}

fn frame(version: u16, kind: u8, body: Vec<u8>) -> Frame {
    let length = u32::try_from(body.len()).unwrap();
    Frame { header: Header { version, kind, flags: 0, length }, body }
}
