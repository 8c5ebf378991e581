//! The files in `examples`, as far as they can be held against the program without an engine to run them in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lcs_app::configuration::{AuthenticationModule, Configuration, StoreConfiguration};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join("examples").join(name)).unwrap()
}

/// The documents of a YAML file.
fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(name)).unwrap()
}

/// Kubernetes' objects of a kind.
fn objects<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found: Vec<&Value> = documents.iter().filter(|document| document["kind"] == kind).collect();
    assert!(!found.is_empty(), "there is no {kind}");
    found
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

/// The configuration that the replicas of both examples have: safe beyond loopback, on PostgreSQL.
fn check_configuration(configuration: &Configuration) {
    configuration.service.check().unwrap();
    assert_eq!((configuration.service.host.as_str(), configuration.service.port), ("0.0.0.0", 8080));
    assert!(matches!(&configuration.service.authentication.module,
        AuthenticationModule::ApiKeyToken { api_key } if api_key.expose_secret() == "change-me-too"));
    let StoreConfiguration::Postgresql(postgres) = &configuration.store else {
        unreachable!("the replicas share a PostgreSQL: {:?}", configuration.store)
    };
    // Two replicas, and one more while they are replaced, within PostgreSQL's default of 100 connections.
    assert!(3 * (postgres.pool_size + postgres.max_overflow) < 100);
}

/// The program takes these arguments: `--help` behind them is answered.
fn check_arguments(arguments: &[String]) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_lcs-persistence")).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(arguments.first().map(String::as_str), Some("serve"));
    let help = String::from_utf8(output.stdout).unwrap();
    for option in arguments.iter().filter(|argument| argument.starts_with("--")) {
        assert!(help.contains(option.as_str()), "{option} is not in {help}");
    }
}

fn check_image(image: &str) {
    let tag = image.rsplit_once(':').map(|(_, tag)| tag);
    assert!(tag.is_some_and(|tag| tag != "latest"), "{image}");
}

#[test]
fn the_replicas_of_compose_have_a_configuration_that_is_accepted() {
    let [document]: [Value; 1] = documents("compose.yaml").try_into().unwrap();
    let service = &document["services"]["service"];
    let secrets = read("environment");
    // What compose makes of the service's environment and the file with the secrets.
    let environment = |name: &str| {
        let value = service["environment"][name].as_str()?;
        let secret = value.strip_prefix("${").and_then(|value| value.split_once(":?"));
        Some(OsString::from(match secret {
            Some((secret, _)) => {
                secrets.lines().find_map(|line| line.strip_prefix(&format!("{secret}="))).unwrap()
            }
            None => value,
        }))
    };
    let path = root().join("examples/lightspeed-stack.yaml");
    let configuration = Configuration::load_with(Some(&path), None, &environment).unwrap();
    check_configuration(&configuration);
    let database = &document["services"]["database"];
    let StoreConfiguration::Postgresql(postgres) = &configuration.store else { unreachable!() };
    assert_eq!(format!("{:?}", postgres.host), format!("{:?}", "database"));
    assert_eq!(database["environment"]["POSTGRES_DB"], postgres.database.as_str());
    assert_eq!(database["environment"]["POSTGRES_USER"], postgres.user.as_str());
}

#[test]
fn compose_runs_two_replicas_that_are_not_root() {
    let [document]: [Value; 1] = documents("compose.yaml").try_into().unwrap();
    for (name, service) in document["services"].as_object().unwrap() {
        check_image(service["image"].as_str().unwrap());
        let user = service["user"].as_str().unwrap();
        assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{name}: {user}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().unwrap().starts_with("127.0.0.1:"),
                "{name} is open to the network: {port}"
            );
        }
    }
    let service = &document["services"]["service"];
    assert_eq!(service["deploy"]["replicas"], 2);
    assert_eq!(service["read_only"], true);
    check_arguments(&strings(&service["command"]));
    let dockerfile = root().join("examples").join(service["build"]["context"].as_str().unwrap());
    assert!(dockerfile.join(service["build"]["dockerfile"].as_str().unwrap()).is_file());
    for volume in service["volumes"].as_array().unwrap() {
        let (host, _) = volume.as_str().unwrap().split_once(':').unwrap();
        let is_named = document["volumes"].as_object().unwrap().contains_key(host);
        assert!(is_named || root().join("examples").join(host).is_file(), "{host}");
    }
    assert_eq!(service["depends_on"]["database"]["condition"], "service_healthy");
    assert!(document["services"]["database"]["healthcheck"]["test"].is_array());
}

#[test]
fn kubernetes_has_a_configuration_that_is_accepted() {
    let documents = documents("kubernetes.yaml");
    let folder = tempfile::tempdir().unwrap();
    let secret = &objects(&documents, "Secret")[0]["stringData"];
    fs::write(folder.path().join("api-key"), secret["api-key"].as_str().unwrap()).unwrap();
    let yaml = objects(&documents, "ConfigMap")[0]["data"]["lightspeed-stack.yaml"].as_str().unwrap();
    let mounted = "/run/secrets/lcs-persistence";
    assert!(yaml.contains(mounted));
    let path = folder.path().join("lightspeed-stack.yaml");
    fs::write(&path, yaml.replace(mounted, &folder.path().display().to_string())).unwrap();
    let url = SecretString::from(secret["database-url"].as_str().unwrap());
    let configuration = Configuration::load_with(Some(&path), Some(&url), &|_| None).unwrap();
    check_configuration(&configuration);
    let grace =
        &objects(&documents, "Deployment")[0]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
    assert!(grace.as_u64().unwrap() >= configuration.service.shutdown_timeout.as_secs() + 5, "{grace}");
}

#[test]
fn kubernetes_runs_two_replicas_that_are_not_root_and_asks_endpoints_that_there_are() {
    let documents = documents("kubernetes.yaml");
    let openapi = serde_json::to_value(lcs_app::http::openapi()).unwrap();
    let deployment = objects(&documents, "Deployment")[0];
    assert_eq!(deployment["spec"]["replicas"], 2);
    for workload in objects(&documents, "Deployment").into_iter().chain(objects(&documents, "StatefulSet")) {
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert!(pod["securityContext"]["runAsUser"].as_u64().unwrap() > 0);
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(
            workload["spec"]["selector"]["matchLabels"],
            workload["spec"]["template"]["metadata"]["labels"]
        );
        for container in pod["containers"].as_array().unwrap() {
            check_image(container["image"].as_str().unwrap());
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
            assert!(container["resources"]["limits"]["memory"].is_string());
            for mount in container["volumeMounts"].as_array().unwrap() {
                let volumes = pod["volumes"].as_array().into_iter().flatten();
                let claims = workload["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
                let mut names = volumes
                    .map(|volume| &volume["name"])
                    .chain(claims.map(|claim| &claim["metadata"]["name"]));
                assert!(names.any(|name| *name == mount["name"]), "{mount}");
            }
        }
    }
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    check_arguments(&strings(&container["args"]));
    for (probe, path) in
        [("startupProbe", "/liveness"), ("livenessProbe", "/liveness"), ("readinessProbe", "/readiness")]
    {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert!(openapi["paths"][path]["get"].is_object(), "{path} is no endpoint");
    }
    let budget = objects(&documents, "PodDisruptionBudget")[0];
    assert_eq!(budget["spec"]["selector"], deployment["spec"]["selector"]);
    let metrics = &objects(&documents, "Service")[0]["metadata"]["annotations"]["prometheus.io/path"];
    assert!(openapi["paths"][metrics.as_str().unwrap()]["get"].is_object(), "{metrics} is no endpoint");
    let secret = &objects(&documents, "Secret")[0]["stringData"];
    let database =
        documents.iter().filter_map(|document| document["spec"]["template"]["spec"]["containers"].as_array());
    for entry in database.flatten().filter_map(|container| container["env"].as_array()).flatten() {
        if let Some(key) = entry["valueFrom"]["secretKeyRef"]["key"].as_str() {
            assert!(secret[key].is_string(), "the Secret has no {key}");
        }
    }
}

#[test]
fn the_image_runs_the_program_as_nobody_in_particular() {
    let dockerfile = read("Dockerfile");
    let instructions: Vec<(&str, &str)> = dockerfile
        .lines()
        .filter(|line| !line.starts_with(['#', ' ']))
        .filter_map(|line| line.split_once(' '))
        .collect();
    let of = |name: &str| -> Vec<&str> {
        instructions.iter().filter(|(instruction, _)| *instruction == name).map(|(_, rest)| *rest).collect()
    };
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.split('"').nth(1).unwrap();
    assert_eq!(of("ENV").first(), Some(&format!("RUSTUP_TOOLCHAIN={channel}").as_str()));
    assert!(of("ADD").is_empty());
    for image in of("FROM") {
        check_image(image.split(' ').next().unwrap());
    }
    let user = of("USER").last().copied().unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
    assert_eq!(of("ENTRYPOINT"), ["[\"lcs-persistence\"]"]);
    check_arguments(&serde_json::from_str::<Vec<String>>(of("CMD").last().unwrap()).unwrap());
    assert_eq!(of("EXPOSE"), ["8080"]);
    assert!(of("RUN").iter().all(|run| !run.contains("apt-get") && !run.contains("sudo")));
    assert!(of("RUN").iter().any(|run| run.contains("cargo build --release --locked -p lcs-app")));
    for copied in fs::read_to_string(root().join(".dockerignore"))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
    {
        assert!(root().join(copied).exists(), "{copied}");
    }
    // The check of its health asks an endpoint that there is.
    let paths = serde_json::to_value(lcs_app::http::openapi()).unwrap()["paths"].clone();
    assert!(dockerfile.contains("GET /liveness HTTP/1.0") && paths["/liveness"].is_object());
}
