//! What `doctor` finds of the archives: whether their place can be written, read and deleted from, and is the one that
//! erasures have noted.

use lcs_app::archive::{ArchiveFiles, ArchiveUrl};
use lcs_app::configuration::Configuration;
use lcs_domain::Erasure;
use lcs_domain::diagnostic::Finding;

const CHECK: &str = "archive";

/// Nothing where no place is configured. `placed` is the erasure that says which one it was the last time.
pub(super) async fn examine(configuration: &Configuration, placed: Option<&Erasure>) -> Vec<Finding> {
    let Some(url) = &configuration.archive_url else { return Vec::new() };
    let probed = match ArchiveFiles::open(url) {
        Ok(files) => files.probe().await.map(|()| files),
        Err(error) => Err(error),
    };
    let files = match probed {
        Ok(files) => files,
        Err(error) => {
            return vec![Finding::error(
                CHECK,
                error.to_string(),
                "correct persistence.archive_url, the rights there, or the credentials in the environment",
            )];
        }
    };
    let use_of_it = if configuration.enable_archival { "" } else { "; archival is off" };
    let (known_by, doubt) = match files.place_id().await {
        Ok(here) => (here.clone(), placed.and_then(|placed| doubt(url, here.as_deref(), placed))),
        // It says what to do.
        Err(error) => {
            (None, Some(Finding { remedy: None, ..Finding::warning(CHECK, error.to_string(), "") }))
        }
    };
    let known_by = known_by.map(|id| format!("; it is the place {id}")).unwrap_or_default();
    let found = format!("{url} can be written, read and deleted from{known_by}{use_of_it}");
    [Finding::ok(CHECK, found)].into_iter().chain(doubt).collect()
}

/// That it is not the place where this erasure has seen archives.
fn doubt(url: &ArchiveUrl, here: Option<&str>, placed: &Erasure) -> Option<Finding> {
    let mut noted = placed.archives.iter().filter(|noted| noted.place_id.is_some());
    let last = noted.clone().next_back()?;
    if here.is_some() && noted.any(|noted| noted.place_id.as_deref() == here) {
        return None;
    }
    let there = last.place_id.as_deref().unwrap_or_default();
    let address = last.place.as_ref().map(|place| format!(", then at {place}")).unwrap_or_default();
    let here =
        here.map_or_else(|| "has no lcs-archives.json".to_owned(), |here| format!("is the place {here}"));
    let (has_ended, cure) = if placed.certificate.is_some() {
        ("", "; where it is another one on purpose, nothing is to be done")
    } else {
        (", which has not ended,", "; then run that erasure again")
    };
    Some(Finding::warning(
        CHECK,
        format!(
            "{url} {here}, and erasure {}{has_ended} has seen archives in the place {there}{address}",
            placed.erasure_id
        ),
        format!(
            "correct persistence.archive_url, or see that lcs-archives.json came along where the place was moved{cure}"
        ),
    ))
}
