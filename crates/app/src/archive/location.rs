//! Where archives are: an address, and nothing secret in it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use reqwest::{Client, Url};

use crate::endpoint::tls;
use crate::exposed_address::{exposed, misaddressed};

/// How long one request may take, a file's piece with it.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The address of the archives: `file:///FOLDER`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or
/// `az://CONTAINER/PREFIX`. Credentials and all else that a service wants to know come from the environment, under the
/// names that its own tools have: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_APPLICATION_CREDENTIALS`,
/// `AZURE_STORAGE_ACCOUNT` and so on.
#[derive(Clone, PartialEq, Eq)]
pub struct ArchiveUrl {
    place: Place,
    prefix: Path,
    text: String,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    S3(String),
    Google(String),
    Azure(String),
}

impl fmt::Debug for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArchiveUrl").field(&self.text).finish()
    }
}

impl fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ArchiveUrl {
    /// The address that `text` is.
    ///
    /// # Errors
    /// What is wrong with it, without the text: a password may stand in it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const KINDS: &str =
            "write file:///FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX";
        let url = Url::parse(text.trim()).map_err(|_| KINDS)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "there are credentials in it: give them in the environment, as AWS_ACCESS_KEY_ID and so on",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(
                "there is a ? or # in it: options come from the environment, as AWS_ENDPOINT and so on",
            );
        }
        let host = url.host_str().filter(|host| !host.is_empty()).map(str::to_owned);
        let place = match (url.scheme(), host) {
            ("file", None) => {
                let folder =
                    url.to_file_path().map_err(|()| "write the whole path of a folder: file:///FOLDER")?;
                if folder.parent().is_none() {
                    return Err("write the path of a folder of its own: file:///FOLDER");
                }
                Place::Folder(folder)
            }
            ("s3", Some(bucket)) => Place::S3(bucket),
            ("gs", Some(bucket)) => Place::Google(bucket),
            ("az", Some(container)) => Place::Azure(container),
            _ => return Err(KINDS),
        };
        let prefix = match place {
            Place::Folder(_) => Path::default(),
            _ => Path::from_url_path(url.path()).map_err(|_| "its path is none that an object can have")?,
        };
        Ok(Self { place, prefix, text: url.as_str().trim_end_matches('/').to_owned() })
    }

    /// The folder, where it is one of this machine.
    pub(crate) fn folder(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::S3(_) | Place::Google(_) | Place::Azure(_) => None,
        }
    }

    /// Whether it may be opened without making it.
    pub(crate) fn is_there(&self) -> bool {
        self.folder().is_none_or(std::path::Path::is_dir)
    }

    /// The variables without which it cannot be opened, where it is no folder.
    pub(crate) fn variables(&self) -> Option<&'static str> {
        match &self.place {
            Place::Folder(_) => None,
            Place::S3(_) => {
                Some("AWS_ENDPOINT, AWS_REGION and AWS_ACCESS_KEY_ID, and the other AWS_ variables")
            }
            Place::Google(_) => Some("GOOGLE_APPLICATION_CREDENTIALS, and the other GOOGLE_ variables"),
            Place::Azure(_) => Some(
                "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, and the other AZURE_ variables",
            ),
        }
    }

    /// The variable that holds the address of one of its servers with credentials in it, and under which names those
    /// belong.
    pub(crate) fn exposed(&self) -> Option<(String, &'static str)> {
        let (prefixes, names): (&[&str], _) = match &self.place {
            Place::Folder(_) => return None,
            Place::S3(_) => (&["AWS_"], "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            Place::Google(_) => (&["GOOGLE_", "GCE_METADATA_"], "GOOGLE_APPLICATION_CREDENTIALS"),
            Place::Azure(_) => (
                &["AZURE_", "AZURITE_", "IDENTITY_ENDPOINT"],
                "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
            ),
        };
        exposed(std::env::vars_os(), prefixes).map(|variable| (variable, names))
    }

    /// The variable that holds what is to be the address of its server, and is none.
    pub(crate) fn misaddressed(&self) -> Option<String> {
        let names: &[&str] = match &self.place {
            Place::S3(_) => &["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"],
            Place::Azure(_) => &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"],
            Place::Google(_) => &["GOOGLE_BASE_URL"],
            Place::Folder(_) => return None,
        };
        misaddressed(std::env::vars_os(), names)
    }

    /// The store there, and where in it archives are.
    pub(crate) fn open(&self) -> Result<(Arc<dyn ObjectStore>, Path), object_store::Error> {
        let store: Arc<dyn ObjectStore> = match &self.place {
            Place::Folder(folder) => {
                make(folder).map_err(|error| object_store::Error::Generic {
                    store: "folder",
                    source: error.into(),
                })?;
                // What is deleted from the database has to be on the disk.
                let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
                Arc::new(store.with_automatic_cleanup(true))
            }
            Place::S3(bucket) => Arc::new(
                AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_http_connector(Connector)
                    .with_retry(retry())
                    .build()?,
            ),
            Place::Google(bucket) => Arc::new(
                GoogleCloudStorageBuilder::from_env()
                    .with_bucket_name(bucket)
                    .with_http_connector(Connector)
                    .with_retry(retry())
                    .build()?,
            ),
            Place::Azure(container) => Arc::new(
                azure()
                    .with_container_name(container)
                    .with_http_connector(Connector)
                    .with_retry(retry())
                    .build()?,
            ),
        };
        Ok((store, self.prefix.clone()))
    }
}

/// What the environment says of Azure, under the two names of its command line too, which the library does not know.
fn azure() -> MicrosoftAzureBuilder {
    let names = [
        ("AZURE_STORAGE_ACCOUNT", AzureConfigKey::AccountName),
        ("AZURE_STORAGE_KEY", AzureConfigKey::AccessKey),
    ];
    names.into_iter().fold(MicrosoftAzureBuilder::from_env(), |builder, (name, key)| {
        match std::env::var(name) {
            Ok(value) if builder.get_config_value(&key).is_none() => builder.with_config(key, value),
            _ => builder,
        }
    })
}

/// Makes the folder, for its owner alone: conversations come into it.
fn make(folder: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the folder of all archives in the place's own, where it is not there, for its owner alone, and has the disk know
/// of it: what stands in it is gone from the database.
pub(super) fn make_within(place: &std::path::Path, folder: &std::path::Path) -> std::io::Result<()> {
    make(folder)?;
    #[cfg(unix)]
    std::fs::File::open(place)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = place;
    Ok(())
}

/// A place that does not answer is told within a minute.
fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 4,
        retry_timeout: Duration::from_secs(40),
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
    }
}

/// Connects with the same TLS as everything else here.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic {
            store: "HTTP",
            source,
        };
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let tls = tls(None).map_err(|error| failed(error.into()))?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .https_only(allow_http.as_deref() != Some("true"))
            .tls_backend_preconfigured(tls)
            .build();
        Ok(HttpClient::new(client.map_err(|error| failed(error.into()))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_folder_or_a_bucket() {
        for text in [
            "file:///var/lib/lcs/archive",
            "s3://bucket",
            "s3://bucket/some/prefix",
            "gs://bucket/prefix",
            "az://container/prefix",
        ] {
            assert_eq!(ArchiveUrl::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(ArchiveUrl::parse("s3://bucket/a/b/").unwrap().prefix, Path::from("a/b"));
    }

    #[test]
    fn canary_what_is_no_address_is_refused_without_its_text() {
        for text in [
            "canary",
            "/canary",
            "file:///",
            "file://canary/folder",
            "https://canary.example/bucket",
            "s3://key:canary@bucket/prefix",
            "s3://canary@bucket",
            "s3://bucket?secret=canary",
            "s3://bucket#canary",
            "s3://",
            "ftp://canary",
        ] {
            let problem = ArchiveUrl::parse(text).unwrap_err();
            assert!(!problem.contains("canary"), "{text}: {problem}");
            assert!(problem.contains("write") || problem.contains("environment"), "{text}: {problem}");
        }
    }
}
