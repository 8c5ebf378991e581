//! Archives: files outside of the database that hold what retention has removed from it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`location`] | where they are: a folder, or a bucket of S3, Google Cloud or Azure |
//! | [`files`] | writing them there, reading them, deleting them |
//! | [`manifest`] | what an archive says of itself |
//! | `desk` | the thread that works with files' bytes: one, and one for restores |
//! | [`volume`] | an archive's file: written, read, copied in part |
//! | `mark` | what a place is known by where no archive is left in it |
//! | `leftover` | what is left there of a write that was interrupted |
//! | [`step`] | the steps between which everything may end |
//! | [`error`] | why something could not be done |
//!
//! An archive has two files under `archives/ARCHIVE_ID/`, which are written once and never changed:
//! `conversations.jsonl.zst`, an export that `import` reads too, and `manifest.json`. Which archive holds a conversation,
//! the database says ([`lcs_domain::archive`]). Beside `archives/`, the first erasure that comes to an archive makes
//! `lcs-archives.json`, which stays.

mod desk;
pub mod error;
pub mod files;
mod leftover;
pub mod location;
pub mod manifest;
mod mark;
pub mod step;
pub mod volume;

pub use self::error::ArchiveError;
pub use self::files::ArchiveFiles;
pub use self::location::ArchiveUrl;
pub use self::manifest::Manifest;
pub use self::step::Step;
