//! What `doctor` finds of the archives: whether their place can be written, read and deleted from.

use lcs_app::archive::ArchiveFiles;
use lcs_app::configuration::Configuration;
use lcs_domain::diagnostic::Finding;

const CHECK: &str = "archive";

/// Nothing where no place is configured.
pub(super) async fn examine(configuration: &Configuration) -> Option<Finding> {
    let url = configuration.archive_url.as_ref()?;
    let probed = match ArchiveFiles::open(url) {
        Ok(files) => files.probe().await,
        Err(error) => Err(error),
    };
    let use_of_it = if configuration.enable_archival { "" } else { "; archival is off" };
    Some(match probed {
        Ok(()) => Finding::ok(CHECK, format!("{url} can be written, read and deleted from{use_of_it}")),
        Err(error) => Finding::error(
            CHECK,
            error.to_string(),
            "correct persistence.archive_url, the rights there, or the credentials in the environment",
        ),
    })
}
