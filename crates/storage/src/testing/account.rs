//! The account that the server runs as, and what belongs to it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::Result;

/// An account of this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

/// The user id of this process.
pub(super) fn current_uid() -> Result<u32> {
    // What a process creates belongs to it; asking the kernel directly would take `unsafe`.
    Ok(tempfile::tempfile()?.metadata()?.uid())
}

impl Account {
    /// The account for a server that this process starts: `None`, which is our own, unless we are root.
    pub(super) fn for_server() -> Result<Option<Self>> {
        if current_uid()? != 0 {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd")?;
        let account = ["postgres", "nobody"].iter().find_map(|name| Self::find(&passwd, name));
        Ok(Some(
            account
                .ok_or("the tests run as root, which PostgreSQL refuses, and there is no user postgres")?,
        ))
    }

    fn find(passwd: &str, name: &str) -> Option<Self> {
        let mut fields = passwd
            .lines()
            .map(|line| line.split(':'))
            .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields.skip(1)))?;
        Some(Self { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }

    /// Has `command` run as this account.
    pub(super) fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Hands `path` over to this account.
    pub(super) fn own(self, path: &Path) -> Result<()> {
        Ok(chown(path, Some(self.uid), Some(self.gid))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:106:114::/:/bin/sh\n";
        let account = Account::find(passwd, "postgres").unwrap();
        assert_eq!((account.uid, account.gid), (106, 114));
        assert!(Account::find(passwd, "nobody").is_none());
    }
}
