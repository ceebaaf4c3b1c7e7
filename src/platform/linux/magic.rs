//! File systems by the number that `statfs(2)` gives (`include/uapi/linux/magic.h`, and the sources of those that are not listed there).

/// Name and number, and whether another kernel may have it mounted too.
const KNOWN: &[(u32, &str, bool)] = &[
    (0xef53, "ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0x2fc1_2fc1, "zfs", false),
    (0xca45_1a4e, "bcachefs", false),
    (0xf2f5_2010, "f2fs", false),
    (0x3153_464a, "jfs", false),
    (0x3434, "nilfs2", false),
    (0x5265_4973, "reiserfs", false),
    (0x2405_1905, "ubifs", false),
    (0x72b6, "jffs2", false),
    (0x0102_1994, "tmpfs", false),
    (0x8584_58f6, "ramfs", false),
    (0x794c_7630, "overlay", false),
    (0xf15f, "ecryptfs", false),
    (0x4d44, "vfat", false),
    (0x2011_bab0, "exfat", false),
    (0x7366_746e, "ntfs3", false),
    (0x482b, "hfsplus", false),
    (0x9660, "iso9660", false),
    (0x1501_3346, "udf", false),
    (0x7371_7368, "squashfs", false),
    (0xe0f5_e1e2, "erofs", false),
    (0x6969, "nfs", true),
    (0x517b, "smb", true),
    (0xff53_4d42, "cifs", true),
    (0xfe53_4d42, "smb2", true),
    (0x0102_1997, "9p", true),
    // virtiofs gives this number too, and so does a file system of one machine only: it can't be told.
    (0x6573_5546, "fuse", true),
    (0x00c3_6400, "ceph", true),
    (0x5346_414f, "afs", true),
    (0x6b41_4653, "afs", true),
    (0x7375_7245, "coda", true),
    (0x564c, "ncp", true),
    (0x7461_636f, "ocfs2", true),
    (0x0116_1970, "gfs2", true),
    (0x0bd0_0bd0, "lustre", true),
    (0x4750_4653, "gpfs", true),
    (0x2003_0528, "orangefs", true),
    (0x1983_0326, "beegfs", true),
    (0xaad7_aaea, "panfs", true),
    (0xbeef_dead, "snfs", true),
    (0x6163_6673, "acfs", true),
    (0x786f_4256, "vboxsf", true),
    (0xbacb_acbc, "vmhgfs", true),
    (0x7c7c_6013, "prl_fs", true),
];

/// What this number is called, and whether it may be shared. An unknown one may.
pub(super) fn name_and_shared(number: u32) -> (String, bool) {
    let known = KNOWN.iter().find(|(known, ..)| *known == number);
    known.map_or_else(|| (format!("0x{number:x}"), true), |&(_, name, shared)| (name.to_owned(), shared))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;

    #[test]
    fn local_network_and_unknown_file_systems_are_told_apart() {
        assert_eq!(name_and_shared(0xef53), ("ext4".to_owned(), false));
        assert_eq!(name_and_shared(0x6969), ("nfs".to_owned(), true));
        assert_eq!(name_and_shared(0x6573_5546), ("fuse".to_owned(), true));
        assert_eq!(name_and_shared(0x1234), ("0x1234".to_owned(), true));
    }

    #[test]
    fn no_number_is_listed_twice() {
        for (at, (number, ..)) in KNOWN.iter().enumerate() {
            assert!(KNOWN[..at].iter().all(|(other, ..)| other != number), "{number:x}");
        }
    }
}
