//! Strings and answers as the Windows API has them.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::windows::ffi::{OsStrExt as _, OsStringExt as _},
};

use windows_sys::core::BOOL;

/// UTF-16 with a zero at its end.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// What stands before the first zero.
pub(crate) fn from_wide(text: &[u16]) -> OsString {
    let end = text.iter().position(|&unit| unit == 0).unwrap_or(text.len());
    OsString::from_wide(&text[..end])
}

/// The answer of a call that is zero when it failed, with the reason in `GetLastError`.
pub(crate) fn succeeded(answer: BOOL) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The answer of a call that returns the reason itself (`WIN32_ERROR`).
pub(crate) fn unless_error(code: u32) -> io::Result<()> {
    #[allow(clippy::cast_possible_wrap)] // the same bits
    let raw = code as i32;
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(raw)) }
}

/// The system's number of an error; none: it is not the system's.
pub(crate) fn code_of(error: &io::Error) -> Option<u32> {
    #[allow(clippy::cast_sign_loss)] // the same bits
    error.raw_os_error().map(|code| code as u32)
}
