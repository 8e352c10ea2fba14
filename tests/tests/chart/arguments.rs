//! The arguments of the container, as they follow from values.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tidegate_tests::object::Document;
use tidegate_tests::site::Site;

use crate::world;

tidegate_tests::scenarios!("arguments":
    requests_have_what_a_pod_has_but_for_a_margin,
    who_says_whose_addresses_are_published_is_not_contradicted,
);

/// Returns the arguments that the container of the controller has with these values.
async fn arguments(values: &Value) -> anyhow::Result<Vec<String>> {
    let file = tempfile::Builder::new().suffix(".json").tempfile()?;
    std::fs::write(file.path(), values.to_string())?;
    let rendered = world::helm()?.template(file.path(), &["--show-only", "templates/controller-deployment.yaml"]).await?;
    let all = Document::all(&rendered)?;
    let [deployment] = &all[..] else { anyhow::bail!("{} documents", all.len()) };
    let arguments = deployment.object.data["spec"]["template"]["spec"]["containers"][0]["args"].as_array().context("no arguments")?;
    Ok(arguments.iter().filter_map(|argument| argument.as_str().map(str::to_owned)).collect())
}

async fn requests_have_what_a_pod_has_but_for_a_margin(_: &Site) -> anyhow::Result<()> {
    for (grace, hook, wanted) in [
        (9, 0, Some("6s")),
        (30, 0, Some("20s")),
        (249, 0, Some("239s")),
        (250, 0, None),
        (300, 0, None),
        (301, 0, Some("241s")),
        (3600, 0, Some("3540s")),
        (3600, 30, Some("3510s")),
        (300, 60, Some("230s")),
        (330, 60, None),
    ] {
        let lifecycle = if hook == 0 { json!({}) } else { json!({ "preStop": { "sleep": { "seconds": hook } } }) };
        let all = arguments(&json!({ "controller": { "terminationGracePeriodSeconds": grace, "lifecycle": lifecycle } })).await?;
        let given = all.iter().find_map(|argument| argument.strip_prefix("--drain-max="));
        ensure!(given == wanted, "{grace} s, {hook} s of them a hook: {given:?}, not {wanted:?}");
    }
    Ok(())
}

async fn who_says_whose_addresses_are_published_is_not_contradicted(_: &Site) -> anyhow::Result<()> {
    let given = [
        ("publish-status-address", "192.0.2.1"),
        ("publish-service", "edge/public"),
        ("publish-service", "$(POD_NAMESPACE)/public"),
        ("publish-nodes-of", "edge/app=proxy"),
    ];
    for values in [
        json!({}),
        json!({ "service": { "enabled": false } }),
        json!({ "publishService": { "enabled": false } }),
        json!({ "publishService": { "pathOverride": "other/lb" } }),
        json!({ "scope": { "enabled": true } }),
    ] {
        for (flag, value) in given {
            let mut controller = values.clone();
            controller["extraArgs"] = json!({ flag: value });
            let all = arguments(&json!({ "controller": controller })).await?;
            let published: Vec<_> = all.iter().filter(|argument| argument.starts_with("--publish-")).collect();
            ensure!(published == [&format!("--{flag}={value}")], "{controller}: {published:?}");
        }
    }
    Ok(())
}
