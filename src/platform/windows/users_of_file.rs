//! Which processes have a file open: for people, when nobody says who keeps a lock.
//!
//! The Restart Manager knows it (`RmGetList`, Microsoft Learn); it is asked, and restarts nothing. Wine's knows nobody.

use std::{os::windows::ffi::OsStrExt as _, path::Path, ptr};

use windows_sys::Win32::{
    Foundation::ERROR_SUCCESS,
    System::RestartManager::{
        CCH_RM_SESSION_KEY, RM_PROCESS_INFO, RmEndSession, RmGetList, RmRegisterResources, RmStartSession,
    },
};

/// So many are told of at the most.
const MOST: usize = 16;

/// The processes that have the file open, but this one; none: nobody, or it is not told. Takes some milliseconds.
pub(crate) fn who_has_open(path: &Path) -> Vec<u32> {
    let (mut session, mut key) = (0, [0_u16; CCH_RM_SESSION_KEY as usize + 1]);
    // SAFETY: the key's room is as long as the page of the call says.
    if unsafe { RmStartSession(&raw mut session, 0, key.as_mut_ptr()) } != ERROR_SUCCESS {
        return Vec::new();
    }
    let found = ask(session, path);
    // SAFETY: it was begun above, and is ended once.
    unsafe { RmEndSession(session) };
    found
}

fn ask(session: u32, path: &Path) -> Vec<u32> {
    let name: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: all zeroes is a valid value of this struct of numbers and texts.
    let mut about: Vec<RM_PROCESS_INFO> = vec![unsafe { std::mem::zeroed() }; MOST];
    let (mut needed, mut count, mut reasons) = (0, u32::try_from(MOST).unwrap_or(0), 0);
    // SAFETY: the name ends with a zero; the room is as long as is said.
    let told = unsafe {
        RmRegisterResources(session, 1, &name.as_ptr(), 0, ptr::null(), 0, ptr::null()) == ERROR_SUCCESS
            && RmGetList(session, &raw mut needed, &raw mut count, about.as_mut_ptr(), &raw mut reasons)
                == ERROR_SUCCESS
    };
    let count = if told { count as usize } else { 0 };
    let pids = about.iter().take(count).map(|process| process.Process.dwProcessId);
    pids.filter(|pid| *pid != std::process::id()).collect()
}
