//! Users: a SID is given a number in this process, so that users are compared as they are on Unix.
//!
//! Number 0 is what root is elsewhere: the system itself and the group of administrators, who own what an elevated program
//! makes. Other numbers mean nothing outside of this process, and are never shown or written.
//!
//! Sources: "Well-known SIDs", `GetTokenInformation`, `GetSecurityInfo`, "ACE Strings" (Microsoft Learn, Win32 security).

use std::{
    io,
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    ptr,
    sync::{Mutex, OnceLock, PoisonError},
};

use windows_sys::Win32::{
    Foundation::{HANDLE, LocalFree},
    Security::{
        ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, Authorization as auth, CopySid, DACL_SECURITY_INFORMATION,
        GetAce, GetLengthSid, GetSecurityDescriptorDacl, GetTokenInformation, INHERIT_ONLY_ACE,
        LookupAccountSidW, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
        PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES, TOKEN_OWNER, TOKEN_QUERY, TOKEN_USER, TokenOwner,
        TokenUser,
    },
    System::{
        SystemServices::ACCESS_ALLOWED_ACE_TYPE,
        Threading::{GetCurrentProcess, OpenProcessToken},
    },
};

use super::wide::{from_wide, succeeded, unless_error, wide};

/// What root is elsewhere.
pub(crate) const ROOT: u32 = 0;

/// Rights by which others could put something of theirs in the place of ours: to add a file or a directory, to delete
/// what is in it, or to change who may.
const CHANGES: u32 =
    0x0000_0002 | 0x0000_0004 | 0x0000_0040 | 0x0001_0000 | 0x0004_0000 | 0x0008_0000 | 0x5000_0000;
/// Rights by which others could read a file, and so lock it: `FILE_READ_DATA`, `GENERIC_READ`, `GENERIC_ALL`.
const READS: u32 = 0x0000_0001 | 0x9000_0000;

/// A security identifier, as its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sid(Vec<u8>);

impl Sid {
    /// Copies it.
    ///
    /// # Safety
    /// It is a valid SID, or null.
    unsafe fn copy(sid: PSID) -> Option<Self> {
        if sid.is_null() {
            return None;
        }
        // SAFETY: the caller says that it is one.
        let length = unsafe { GetLengthSid(sid) };
        let mut bytes = vec![0; length as usize];
        // SAFETY: the room is as long as is said.
        (unsafe { CopySid(length, bytes.as_mut_ptr().cast(), sid) } != 0).then_some(Self(bytes))
    }

    fn as_ptr(&self) -> PSID {
        self.0.as_ptr().cast_mut().cast()
    }

    /// As `S-1-5-21-…`.
    pub(crate) fn words(&self) -> Option<String> {
        let mut text = ptr::null_mut();
        // SAFETY: it is a valid SID; the text is freed below.
        succeeded(unsafe { auth::ConvertSidToStringSidW(self.as_ptr(), &raw mut text) }).ok()?;
        #[allow(clippy::maybe_infinite_iter)] // it ends at the zero
        // SAFETY: a text that ends with a zero, which the system has made.
        let words =
            unsafe { (0..).map(|at| *text.add(at)).take_while(|&unit| unit != 0).collect::<Vec<_>>() };
        // SAFETY: allocated by the system for us, and not used any more.
        unsafe { LocalFree(text.cast()) };
        Some(from_wide(&words).to_string_lossy().into_owned())
    }

    /// `S-1-5-18`, the system; `S-1-5-32-544`, the administrators.
    fn is_root(&self) -> bool {
        const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        const ADMINISTRATORS: &[u8] = &[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
        self.0 == SYSTEM || self.0 == ADMINISTRATORS
    }

    /// Stands for whoever owns the thing: `S-1-3-0` (creator owner), `S-1-3-4` (owner rights); or a service of the system's
    /// that may do everything anyway (`S-1-5-80-…`, `TrustedInstaller`).
    fn is_no_other(&self) -> bool {
        let creator = [1, 1, 0, 0, 0, 0, 0, 3];
        self.is_root()
            || self.0.starts_with(&creator)
            || (self.0.len() > 12 && self.0[2..12] == [0, 0, 0, 0, 0, 5, 80, 0, 0, 0])
    }
}

fn known() -> &'static Mutex<Vec<Sid>> {
    static KNOWN: OnceLock<Mutex<Vec<Sid>>> = OnceLock::new();
    KNOWN.get_or_init(Mutex::default)
}

/// The number of a user in this process.
fn number_of(sid: Sid) -> u32 {
    if sid.is_root() {
        return ROOT;
    }
    let mut known = known().lock().unwrap_or_else(PoisonError::into_inner);
    let at = known.iter().position(|it| *it == sid).unwrap_or_else(|| {
        known.push(sid);
        known.len() - 1
    });
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

/// The user of this number; none: root, who is more than one.
fn sid_of(user: u32) -> Option<Sid> {
    let at = usize::try_from(user.checked_sub(1)?).ok()?;
    known().lock().unwrap_or_else(PoisonError::into_inner).get(at).cloned()
}

/// This process's user, and who owns what it makes.
struct Own {
    user: Sid,
    owner: Sid,
}

fn own() -> Option<&'static Own> {
    static OWN: OnceLock<Option<Own>> = OnceLock::new();
    OWN.get_or_init(|| {
        // SAFETY: the pseudo handle of this process is always valid.
        let token = token_of(unsafe { GetCurrentProcess() }).ok()?;
        let user = user_of_token(&token).ok()?;
        let owner = in_token::<TOKEN_OWNER>(&token, TokenOwner).ok();
        // SAFETY: the system has filled it; its SID stands in the same room.
        let owner = owner.and_then(|room| unsafe { Sid::copy((*room.as_ptr().cast::<TOKEN_OWNER>()).Owner) });
        Some(Own { owner: owner.unwrap_or_else(|| user.clone()), user })
    })
    .as_ref()
}

/// The user on whose behalf this process acts.
pub(crate) fn effective_user() -> u32 {
    own().map_or(u32::MAX, |own| number_of(own.user.clone()))
}

/// The name of a user, as `MACHINE\name`. Asks the system, which may ask a server: not for paths that must be fast.
pub(crate) fn user_name(user: u32) -> Option<String> {
    if user == ROOT {
        return Some("the system or its administrators".to_owned());
    }
    let sid = sid_of(user)?;
    let (mut name, mut domain, mut kind) = ([0_u16; 256], [0_u16; 256], 0);
    let (mut name_len, mut domain_len) = (256, 256);
    // SAFETY: the lengths are those of the rooms.
    let found = succeeded(unsafe {
        LookupAccountSidW(
            ptr::null(),
            sid.as_ptr(),
            name.as_mut_ptr(),
            &raw mut name_len,
            domain.as_mut_ptr(),
            &raw mut domain_len,
            &raw mut kind,
        )
    });
    match found {
        Ok(()) => {
            Some(format!("{}\\{}", from_wide(&domain).to_string_lossy(), from_wide(&name).to_string_lossy()))
        }
        Err(_) => sid.words(),
    }
}

fn token_of(process: HANDLE) -> io::Result<OwnedHandle> {
    let mut token = ptr::null_mut();
    // SAFETY: the token is written to a variable that outlives the call, and owned from here on.
    unsafe {
        succeeded(OpenProcessToken(process, TOKEN_QUERY, &raw mut token))?;
        Ok(OwnedHandle::from_raw_handle(token))
    }
}

/// What stands in a token; in words of eight bytes, so that it is aligned.
fn in_token<T>(token: &OwnedHandle, what: i32) -> io::Result<Vec<u64>> {
    let mut room = vec![0_u64; 32];
    let mut length = 0;
    let bytes = u32::try_from(size_of_val(room.as_slice())).unwrap_or(0);
    debug_assert!(size_of::<T>() < bytes as usize);
    // SAFETY: the length is that of the room; a SID has 68 bytes at the most.
    succeeded(unsafe {
        GetTokenInformation(token.as_raw_handle(), what, room.as_mut_ptr().cast(), bytes, &raw mut length)
    })?;
    Ok(room)
}

fn user_of_token(token: &OwnedHandle) -> io::Result<Sid> {
    let room = in_token::<TOKEN_USER>(token, TokenUser)?;
    // SAFETY: the system has filled it; its SID stands in the same room.
    let sid = unsafe { Sid::copy((*room.as_ptr().cast::<TOKEN_USER>()).User.Sid) };
    sid.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The user of a process that was opened to be asked.
///
/// # Errors
/// `PermissionDenied`: it is another user's, or runs with more rights than this one.
pub(super) fn user_of_process(process: &OwnedHandle) -> io::Result<u32> {
    Ok(number_of(user_of_token(&token_of(process.as_raw_handle())?)?))
}

/// Who owns something, and what others may do with it: as bits of a Unix mode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    pub(super) owner: u32,
    pub(super) mode: u32,
}

/// A security descriptor that the system has allocated.
pub(super) struct Descriptor(PSECURITY_DESCRIPTOR);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: allocated by the system for us, freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// What an open file, directory or pipe says about who may do what with it.
pub(super) fn access_of(handle: HANDLE, kind: auth::SE_OBJECT_TYPE) -> io::Result<Access> {
    let (mut owner, mut dacl, mut descriptor) = (ptr::null_mut(), ptr::null_mut::<ACL>(), ptr::null_mut());
    // SAFETY: the pointers are written to variables that outlive the call, and lead into the descriptor.
    unless_error(unsafe {
        auth::GetSecurityInfo(
            handle,
            kind,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            ptr::null_mut(),
            &raw mut dacl,
            ptr::null_mut(),
            &raw mut descriptor,
        )
    })?;
    let _descriptor = Descriptor(descriptor);
    // SAFETY: it leads into the descriptor, which lives.
    let owner = unsafe { Sid::copy(owner) }.ok_or(io::ErrorKind::InvalidData)?;
    // What an elevated process makes belongs to the administrators, if the system is set so; it is its own all the same.
    let is_own = own().is_some_and(|own| own.owner == owner);
    let number = if is_own { effective_user() } else { number_of(owner.clone()) };
    // SAFETY: as above; null: there is none, and everybody may do everything.
    let mode = unsafe { dacl.as_ref() }.map_or(0o777, |dacl| mode_of(dacl, &owner));
    Ok(Access { owner: number, mode })
}

/// What a list of rights gives to others than its owner, this user and root.
fn mode_of(dacl: &ACL, owner: &Sid) -> u32 {
    let mut mode = 0o600;
    for at in 0..u32::from(dacl.AceCount) {
        let mut ace = ptr::null_mut();
        // SAFETY: a list of the system's, and a number below its length.
        if unsafe { GetAce(dacl, at, &raw mut ace) } == 0 {
            continue;
        }
        // SAFETY: every entry begins so.
        let header = unsafe { &*ace.cast::<ACE_HEADER>() };
        let is_inherited_only = u32::from(header.AceFlags) & INHERIT_ONLY_ACE != 0;
        if u32::from(header.AceType) != ACCESS_ALLOWED_ACE_TYPE || is_inherited_only {
            continue;
        }
        // SAFETY: an entry of this type has this form, with a SID at its end.
        let (mask, sid) = unsafe {
            let ace = ace.cast::<ACCESS_ALLOWED_ACE>();
            ((*ace).Mask, Sid::copy((&raw mut (*ace).SidStart).cast()))
        };
        let own = own().is_some_and(|own| sid.as_ref() == Some(&own.user));
        if own || sid.as_ref().is_none_or(|sid| sid == owner || sid.is_no_other()) {
            continue;
        }
        mode |= if mask & CHANGES != 0 { 0o022 } else { 0 };
        mode |= if mask & READS != 0 { 0o044 } else { 0 };
    }
    mode
}

/// What is for this user alone, the directory's owner, and root: for what is made.
pub(super) struct Private(Descriptor);

impl Private {
    /// `inherited`: what is made in it is so, too.
    pub(super) fn new(other: u32, inherited: bool) -> io::Result<Self> {
        let flags = if inherited { "OICI" } else { "" };
        let own = own().ok_or(io::ErrorKind::PermissionDenied)?;
        let mut who: Vec<String> = ["SY", "BA"].map(str::to_owned).into();
        who.extend(
            [Some(own.user.clone()), sid_of(other)].into_iter().flatten().filter_map(|sid| sid.words()),
        );
        who.dedup();
        let entries = who.iter().map(|who| format!("(A;{flags};GA;;;{who})")).collect::<Vec<_>>().concat();
        // GA of a file is FA: the system maps it.
        let owner = own.user.words().map_or_else(String::new, |sid| format!("O:{sid}"));
        let text = wide(format!("{owner}D:P{entries}"));
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text ends with a zero; the descriptor is freed when this is dropped.
        succeeded(unsafe {
            auth::ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                auth::SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        })?;
        Ok(Self(Descriptor(descriptor)))
    }

    /// For a call that makes something; valid as long as this is.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: 0,
        }
    }

    /// Takes an open file away from everybody else. The handle must have the right to change that.
    pub(super) fn apply_to(&self, handle: HANDLE) -> io::Result<()> {
        let (mut present, mut defaulted, mut dacl) = (0, 0, ptr::null_mut());
        // SAFETY: the descriptor lives, and the list leads into it.
        unsafe {
            succeeded(GetSecurityDescriptorDacl(
                self.0.0,
                &raw mut present,
                &raw mut dacl,
                &raw mut defaulted,
            ))?;
            unless_error(auth::SetSecurityInfo(
                handle,
                auth::SE_FILE_OBJECT,
                DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
                ptr::null_mut(),
                ptr::null_mut(),
                dacl,
                ptr::null(),
            ))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use crate::platform::windows::files;

    #[test]
    fn this_user_owns_what_it_makes_and_may_keep_it_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("new").join("below");
        files::make_private_directory(&made).unwrap();
        let facts = files::at(&made).unwrap().unwrap();
        assert_eq!((facts.kind, facts.owner), (files::Kind::Directory, effective_user()));
        assert_eq!(facts.mode & 0o022, 0, "others may change nothing");
        assert!(!user_name(effective_user()).unwrap().is_empty());
    }

    #[test]
    fn the_system_and_its_administrators_are_root_and_nobody_else_is() {
        let sid = |bytes: &[u8]| number_of(Sid(bytes.to_vec()));
        assert_eq!(sid(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]), ROOT);
        assert_eq!(sid(&[1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0]), ROOT);
        let users = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x21, 2, 0, 0];
        assert_ne!(sid(&users), ROOT);
        assert_eq!(sid(&users), sid(&users));
        assert_eq!(Sid(users.to_vec()).words().as_deref(), Some("S-1-5-32-545"));
        assert_ne!(sid(&users), effective_user());
    }
}
