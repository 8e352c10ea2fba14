//! HTTP/2 as the conformance suite h2spec sees it: every test of it, the strict ones too, in clear text by prior knowledge and over TLS.
//! What fails is listed here with its reason; a test that starts to fail, or to pass, makes this one fail.
//!
//! h2spec lies in `KUBEBUILDER_ASSETS`, or is built once with Go. Without either these tests stop, unless `TIDEGATE_TEST_CLUSTER=off` says
//! to do without: then they are left out, and say so.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use tidegate_tests::assets;
use tidegate_tests::backend::Backend;
use tidegate_tests::front::{Front, Route};
use tokio::runtime::Runtime;

/// How many tests h2spec has: fewer would be an easy pass.
const TESTS: usize = 146;

/// The page that says what is supported, and so has the result.
const PAGE: &str = include_str!("../../docs/http.md");

/// What a run is to show.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    flags: &'static [&'static str],
    /// What fails, as `package: title`.
    fails: &'static [&'static str],
}

const CASES: [Case; 2] = [
    Case {
        name: "clear_text_fails_only_where_the_port_speaks_http1_too",
        flags: &[],
        fails: &[
            // Without HTTP/2's preface a connection is HTTP/1.1's: it gets a 400 in HTTP/1.1, and is closed. h2spec takes the answer amiss.
            "http2/3.5: Sends invalid connection preface",
        ],
    },
    Case { name: "tls_fails_nowhere", flags: &["--tls", "--insecure"], fails: &[] },
];

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let program = if arguments.list { None } else { assets::h2spec()? };
    if program.is_none() && !arguments.list {
        println!(
            "\nh2spec ({} tests) was LEFT OUT: there is no Go to build it with, and TIDEGATE_TEST_CLUSTER=off allows it.\n",
            CASES.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = Arc::new(Runtime::new()?);
    let trials = CASES.map(|case| {
        let (runtime, program) = (Arc::clone(&runtime), program.clone());
        Trial::test(case.name, move || {
            let program = program.ok_or("no h2spec")?;
            runtime.block_on(check(&program, case)).map_err(|error| Failed::from(format!("{error:#}")))
        })
    });
    let page = Trial::test("the_documentation_has_the_result", || {
        let [clear, tls] = CASES.map(|case| TESTS - case.fails.len());
        let result = format!("{clear} of {TESTS} in clear text, {tls} of {TESTS} over TLS");
        if PAGE.contains(&result) { Ok(()) } else { Err(format!("docs/http.md does not say {result:?}").into()) }
    });
    Ok(libtest_mimic::run(&arguments, trials.into_iter().chain([page]).collect()).exit_code())
}

async fn check(program: &Path, case: Case) -> anyhow::Result<()> {
    let backend = Backend::start("app", ([127, 0, 0, 1], 0).into()).await?;
    let front = Front::start(&[Route::plain("", backend.address)], &[]).await?;
    let port = if case.flags.is_empty() { front.tidegate.http.port() } else { front.tidegate.https.port() };
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("report.xml");
    let mut h2spec = Command::new(program);
    h2spec.args(["--strict", "--host", "127.0.0.1", "--port", &port.to_string(), "--junit-report"]).arg(&report).args(case.flags);
    let output = tokio::task::block_in_place(|| h2spec.output())?;
    // Its exit code only says whether anything failed.
    let text = String::from_utf8_lossy(&output.stdout);
    let report = std::fs::read_to_string(&report).with_context(|| format!("h2spec made no report: {text}"))?;
    let Report { passed, failed, skipped } = Report::read(&report)?;
    let expected: BTreeSet<_> = case.fails.iter().map(|name| (*name).to_owned()).collect();
    ensure!(failed == expected, "these fail: {failed:#?}\nand these are known to: {expected:#?}\n{text}");
    ensure!(skipped.is_empty(), "these were skipped: {skipped:#?}");
    ensure!(passed + failed.len() == TESTS, "{passed} passed and {} failed, {TESTS} in all were expected", failed.len());
    Ok(())
}

/// What h2spec found.
#[derive(Debug, Default)]
struct Report {
    passed: usize,
    failed: BTreeSet<String>,
    skipped: BTreeSet<String>,
}

impl Report {
    /// Reads the JUnit report as h2spec writes it: a `testcase` that holds nothing has passed.
    fn read(xml: &str) -> anyhow::Result<Self> {
        let mut report = Self::default();
        for case in xml.split("<testcase ").skip(1) {
            let case = case.split("</testcase>").next().unwrap_or(case);
            let attribute = |name: &str| case.split_once(&format!("{name}=\"")).and_then(|(_, rest)| Some(rest.split_once('"')?.0));
            let name = format!("{}: {}", attribute("package").context("no package")?, attribute("classname").context("no title")?);
            if case.contains("<skipped") {
                report.skipped.insert(name);
            } else if case.contains("<failure") || case.contains("<error") {
                report.failed.insert(name);
            } else {
                report.passed += 1;
            }
        }
        Ok(report)
    }
}
