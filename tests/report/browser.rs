//! A headless Chromium.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What the reader has chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    const fn option(self) -> &'static str {
        match self {
            Self::Light => "--blink-settings=preferredColorScheme=1",
            Self::Dark => "--blink-settings=preferredColorScheme=0",
        }
    }
}

/// A browser that is started anew for each thing that it is asked.
pub(crate) struct Browser(PathBuf);

impl Browser {
    /// The one that `CHROMIUM` names, else `chromium`.
    pub(crate) fn find() -> Self {
        let path = std::env::var_os("CHROMIUM").map_or_else(|| PathBuf::from("chromium"), PathBuf::from);
        let found = Command::new(&path).arg("--version").output();
        assert!(
            found.is_ok_and(|output| output.status.success()),
            "{} does not run: install Debian's chromium, or set CHROMIUM",
            path.display()
        );
        Self(path)
    }

    /// Takes a picture of the page in `file`.
    pub(crate) fn picture(&self, file: &Path, picture: &Path, scheme: Scheme, (width, height): (u32, u32)) {
        self.run(&[
            scheme.option(),
            "--hide-scrollbars",
            &format!("--window-size={width},{height}"),
            &format!("--screenshot={}", picture.display()),
            &format!("file://{}", file.display()),
        ]);
    }

    /// What is seen of the page in `file` in a window of this width, by a page that looks at it from outside: it
    /// runs no script of its own.
    pub(crate) fn measure(&self, file: &Path, scheme: Scheme, width: u32) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let looker = folder.path().join("looker.html");
        let html = include_str!("looker.html").replace("FILE", &format!("file://{}", file.display()));
        fs::write(&looker, html.replace("WIDTH", &width.to_string())).unwrap();
        let dom = self.run(&[
            scheme.option(),
            "--allow-file-access-from-files",
            "--window-size=1600,1200",
            "--virtual-time-budget=5000",
            "--dump-dom",
            &format!("file://{}", looker.display()),
        ]);
        let seen = dom.split("<pre id=\"seen\">").nth(1).and_then(|rest| rest.split("</pre>").next());
        let seen = seen.unwrap_or_else(|| panic!("the looker saw nothing: {dom}"));
        serde_json::from_str(&seen.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
            .unwrap_or_else(|error| panic!("{error}: {seen}"))
    }

    fn run(&self, arguments: &[&str]) -> String {
        let profile = tempfile::tempdir().unwrap();
        let output = Command::new(&self.0)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            // Nothing of it is to be asked of anybody.
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--host-resolver-rules=MAP * ~NOTFOUND"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "chromium {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}
