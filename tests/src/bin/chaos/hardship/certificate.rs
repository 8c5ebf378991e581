//! A server's certificate that expires.

use lcs_storage::testing::{PrivateCluster, PrivateOptions};
use lcs_tests::chaos::replica::Failure;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use super::caller::{Caller, sentence};
use super::{DEADLINE_S, Story, home};
use crate::process::Process;
use crate::run::Run;
use crate::server::Server;
use crate::service::{Configuration, Mode};

/// The name that the certificates have, and that the service connects to.
const HOST: &str = "localhost";
/// What the server logs of a session that is not encrypted, or of one that is.
const AUTHORIZED: &str = "connection authorized: user=";
const ENCRYPTED: &str = "SSL enabled";

/// An authority, and the key of a server.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
}

impl Authority {
    fn new() -> Result<Self, Failure> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the campaign's authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer, key: KeyPair::generate()? })
    }

    /// A certificate for the server's key that is good until the first day of this year.
    fn certificate(&self, until: i32) -> Result<String, Failure> {
        let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        Ok(params.signed_by(&self.key, &self.issuer)?.pem())
    }
}

/// The certificate is replaced by one that has expired, and then by a good one.
pub(super) async fn expired(run: &Run, story: &mut Story) -> Result<(), Failure> {
    let authority = Authority::new()?;
    let (good, expired) = (authority.certificate(4000)?, authority.certificate(2021)?);
    let (certificate, key) = (good.clone(), authority.key.serialize_pem());
    let server = Server::start_as(move || {
        PrivateCluster::start_with(PrivateOptions {
            settings: &[
                "ssl = on",
                "ssl_cert_file = 'server.crt'",
                "ssl_key_file = 'server.key'",
                "log_connections = on",
            ],
            files: &[("server.crt", &certificate), ("server.key", &key)],
            ..PrivateOptions::default()
        })
    })
    .await?;
    let (home, database) = (home(run, "certificate"), server.database());
    let configuration = Configuration {
        host: HOST.to_owned(),
        more: "    ssl_mode: verify-full\n    ca_cert_path: ca.pem\n".to_owned(),
        ..Configuration::new(&home, server.port(), &database, Mode::Refuse)
    };
    let configuration = configuration.with_deadline(DEADLINE_S);
    let process = Process::new(&run.program, &home, &configuration.text()?, &[&database.password])?;
    std::fs::write(home.join("ca.pem"), authority.issuer.pem())?;
    process.start().await?;
    let mut caller = Caller::begin(&process).await?;
    let (_, saw) = caller.say(100).await;
    story.promise(saw.is_stored("durable"), "with a good certificate, a turn is stored");

    show(&server, &expired).await?;
    server.terminate(None).await?;
    // The first one may meet a connection that is only just ended, and does not know then what became of it.
    let (first, met) = caller.say(100).await;
    let (second, refused) = caller.say(100).await;
    story.tell(format!("expired: {met}, then {refused}"));
    let are_refused = met.is_unavailable() && refused.is_unavailable();
    story.promise(are_refused, "an expired certificate is 503 with Retry-After");
    let is_named = |said: &str| said.contains("certificate") && said.contains("it has expired");
    story.promise(is_named(&refused.sentence), "it names the certificate, and that it has expired");
    process.stop().await?;
    let required = Configuration { requires_database: true, ..configuration.clone() };
    process.configure(&required.text()?)?;
    let (code, said) = process.refusal().await?;
    story.tell(format!("a start that requires its database: exit code {code:?}, \"{}\"", sentence(&said)));
    story.promise(
        code == Some(1) && is_named(&said),
        "a start that requires its database ends, and says the same",
    );
    process.configure(&configuration.text()?)?;
    process.start().await?;
    let (_, refused) = caller.say(100).await;
    story.promise(refused.is_unavailable(), "another start serves, and refuses");

    show(&server, &good).await?;
    let next = caller.until_durable().await?;
    story.tell(format!("a good one again: {next}"));
    for element in [first, second] {
        let again = caller.say_again(element, 100).await;
        story.promise(again.is_stored("durable"), "what was refused goes through under its key");
    }
    let faults = caller.faults().await?;
    story.promise(faults.is_empty(), &format!("nothing is lost or twice: {faults:?}"));
    process.stop().await?;
    let log = server.log();
    // The campaign's own sessions have no name.
    let sessions =
        || log.lines().filter(|line| line.contains(AUTHORIZED) && line.contains("lcs-persistence"));
    let plain = sessions().filter(|line| !line.contains(ENCRYPTED)).count();
    story.tell(format!("{} sessions, {plain} of them not encrypted", sessions().count()));
    story.promise(sessions().count() > 0 && plain == 0, "none goes without encryption");
    story.search(&process, Some(&server))?;
    Ok(())
}

/// Has the server show another certificate, for the same key.
async fn show(server: &Server, certificate: &str) -> Result<(), Failure> {
    std::fs::write(server.data().join("server.crt"), certificate)?;
    server.reload().await
}
