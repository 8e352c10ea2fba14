//! Files as editors, scripts and Kubernetes write them, while Tidegate serves what is in them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tidegate_tests::load::Load;
use tidegate_tests::site::{Site, ingress};
use tidegate_tests::tidegate::Tidegate;
use tidegate_tests::tidegate::Want::{From, Status};

tidegate_tests::scenarios!("editing":
    a_file_that_is_truncated_and_written_again,
    a_file_that_is_renamed_over,
    a_file_that_is_moved_away_and_back,
    the_symlink_swap_of_a_mounted_config_map,
    half_a_file_costs_nothing_and_its_end_is_served,
    a_broken_document_leaves_the_others_of_its_file_and_its_own_last_version,
    a_file_that_is_not_yaml_keeps_what_it_had,
    new_files_are_found_and_what_is_no_manifest_is_left_alone,
    a_list_of_objects_and_json_are_read,
    the_same_object_in_two_files_is_told,
    saving_many_times_under_load_fails_no_request,
);

/// Longer than Tidegate waits before it believes that something is gone from a file (250 ms).
const STILL: Duration = Duration::from_millis(600);

/// An Ingress for a host, as a file's whole text.
fn host(site: &Site, name: &str, host: &str) -> anyhow::Result<String> {
    Ok(site.fill(&ingress(name, &[&format!("{host}/ Prefix app")])?))
}

/// Checks for a while that a host goes on being served: what must not happen has no moment to wait for.
async fn goes_on(tidegate: &Tidegate, url: &str) -> anyhow::Result<()> {
    let begun = std::time::Instant::now();
    while begun.elapsed() < STILL {
        tidegate.expect(url, From("app-1")).await.with_context(|| format!("after {:?}", begun.elapsed()))?;
    }
    Ok(())
}

async fn a_file_that_is_truncated_and_written_again(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let path = site.directory()?.join("edited.yaml");
    fs::write(&path, format!("{}---\n{}", host(site, "kept", "kept.test")?, host(site, "app", "v0.test")?))?;
    let tidegate = site.tidegate(&[]).await?;
    let load = Load::start(tidegate.http, "kept.test", 100)?;
    for version in 1..=10 {
        // `fs::write` truncates, and writes after: for a moment the file is empty, which is valid YAML.
        let mut file = fs::File::create(&path)?;
        if version % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        write!(file, "{}---\n{}", host(site, "kept", "kept.test")?, host(site, "app", &format!("v{version}.test"))?)?;
        drop(file);
        tidegate.becomes(&format!("http://v{version}.test/"), From("app-1")).await?;
        tidegate.becomes(&format!("http://v{}.test/", version - 1), Status(404)).await?;
    }
    load.end().await.all_good(50)
}

async fn a_file_that_is_renamed_over(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let directory = site.directory()?;
    let path = directory.join("edited.yaml");
    fs::write(&path, host(site, "app", "v0.test")?)?;
    let tidegate = site.tidegate(&[]).await?;
    for version in 1..=5 {
        // vim, and every careful program: a temporary file beside it, whose name may end alike, and a rename.
        let draft = directory.join(".edited.yaml.swp");
        fs::write(&draft, host(site, "app", &format!("v{version}.test"))?)?;
        fs::rename(&draft, &path)?;
        tidegate.becomes(&format!("http://v{version}.test/"), From("app-1")).await?;
        tidegate.expect(&format!("http://v{}.test/", version - 1), Status(404)).await?;
    }
    ensure!(tidegate.diagnostics().await?.is_empty(), "editing left findings: {:?}", tidegate.diagnostics().await?);
    Ok(())
}

async fn a_file_that_is_moved_away_and_back(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let directory = site.directory()?;
    let (path, backup) = (directory.join("edited.yaml"), directory.join("edited.yaml~"));
    fs::write(&path, host(site, "app", "app.test")?)?;
    let tidegate = site.tidegate(&[]).await?;
    // Editors with backups: the old file is moved aside and a new one written; for a moment there is none.
    let load = Load::start(tidegate.http, "app.test", 100)?;
    for _ in 0..5 {
        fs::rename(&path, &backup)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        fs::write(&path, host(site, "app", "app.test")?)?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    load.end().await.all_good(50)?;
    fs::remove_file(&path)?;
    tidegate.becomes("http://app.test/", Status(404)).await?;
    Ok(())
}

async fn the_symlink_swap_of_a_mounted_config_map(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let mount = site.directory()?.to_owned();
    let version = |number: u8| -> anyhow::Result<()> {
        let data = mount.join(format!("..2026_01_0{number}"));
        fs::create_dir(&data)?;
        fs::write(data.join("app.yaml"), host(site, "mounted", &format!("v{number}.test"))?)?;
        symlink(data.file_name().context("a name")?, mount.join("..data_tmp"))?;
        fs::rename(mount.join("..data_tmp"), mount.join("..data"))?;
        Ok(())
    };
    version(1)?;
    symlink("..data/app.yaml", mount.join("app.yaml"))?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://v1.test/", From("app-1")).await?;
    for number in 2..=4 {
        version(number)?;
        fs::remove_dir_all(mount.join(format!("..2026_01_0{}", number - 1)))?;
        tidegate.becomes(&format!("http://v{number}.test/"), From("app-1")).await?;
        tidegate.becomes(&format!("http://v{}.test/", number - 1), Status(404)).await?;
    }
    // The files behind the link are not a second copy.
    ensure!(tidegate.diagnostics().await?.is_empty(), "{:?}", tidegate.diagnostics().await?);
    Ok(())
}

async fn half_a_file_costs_nothing_and_its_end_is_served(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let path = site.directory()?.join("edited.yaml");
    fs::write(&path, format!("{}---\n{}", host(site, "first", "first.test")?, host(site, "app", "old.test")?))?;
    let tidegate = site.tidegate(&[]).await?;
    let text = format!("{}---\n{}", host(site, "first", "first.test")?, host(site, "app", "new.test")?);
    let middle = text.rfind("backend").context("no backend")?;
    let mut file = fs::File::create(&path)?;
    file.write_all(text.as_bytes().get(..middle).context("half")?)?;
    file.sync_all()?;
    goes_on(&tidegate, "http://first.test/").await?;
    // The second document is broken off in its middle: its last good version stays for as long as that is so.
    tidegate.expect("http://old.test/", From("app-1")).await?;
    file.write_all(text.as_bytes().get(middle..).context("half")?)?;
    drop(file);
    tidegate.becomes("http://new.test/", From("app-1")).await?;
    tidegate.becomes("http://old.test/", Status(404)).await?;
    tidegate.expect("http://first.test/", From("app-1")).await?;
    tidegate.no_more("invalid_file").await
}

async fn a_broken_document_leaves_the_others_of_its_file_and_its_own_last_version(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let path = site.directory()?.join("edited.yaml");
    let two = |second: &str| -> anyhow::Result<String> { Ok(format!("{}---\n{second}", host(site, "one", "one.test")?)) };
    fs::write(&path, two(&host(site, "two", "two.test")?)?)?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://one.test/", From("app-1")), ("http://two.test/", From("app-1"))]).await?;
    // YAML, but not an Ingress: `rules` is a word.
    let broken = site
        .fill("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: two}\nspec: {ingressClassName: $CLASS, rules: oops}\n");
    fs::write(&path, two(&broken)?)?;
    tidegate.diagnosed("invalid_object", "two").await?;
    goes_on(&tidegate, "http://two.test/").await?;
    tidegate.expect("http://one.test/", From("app-1")).await?;
    fs::write(&path, two(&host(site, "two", "better.test")?)?)?;
    tidegate.becomes("http://better.test/", From("app-1")).await?;
    tidegate.no_more("invalid_object").await
}

async fn a_file_that_is_not_yaml_keeps_what_it_had(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let directory = site.directory()?;
    let path = directory.join("edited.yaml");
    fs::write(&path, host(site, "app", "app.test")?)?;
    fs::write(directory.join("other.yaml"), host(site, "other", "other.test")?)?;
    let tidegate = site.tidegate(&[]).await?;
    for nonsense in ["{{ .Values.oops }}: [", "\u{0}\u{1}binary", "a: b: c: d"] {
        fs::write(&path, nonsense)?;
        tidegate.diagnosed("invalid_file", "edited.yaml").await?;
        goes_on(&tidegate, "http://app.test/").await?;
        tidegate.expect("http://other.test/", From("app-1")).await?;
        fs::write(&path, host(site, "app", "app.test")?)?;
        tidegate.no_more("invalid_file").await?;
    }
    Ok(())
}

async fn new_files_are_found_and_what_is_no_manifest_is_left_alone(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let directory = site.directory()?;
    let tidegate = site.tidegate(&[]).await?;
    fs::write(directory.join("notes.txt"), "not YAML: [")?;
    fs::write(directory.join(".hidden.yaml"), "not YAML: [")?;
    // Directories in the directory are read as well.
    fs::create_dir(directory.join("deeper"))?;
    fs::write(directory.join("deeper/new.yaml"), host(site, "deeper", "deeper.test")?)?;
    fs::write(directory.join("new.yml"), host(site, "new", "new.test")?)?;
    tidegate.becomes("http://new.test/", From("app-1")).await?;
    tidegate.becomes("http://deeper.test/", From("app-1")).await?;
    fs::rename(directory.join("deeper/new.yaml"), directory.join("moved.yaml"))?;
    goes_on(&tidegate, "http://deeper.test/").await?;
    fs::rename(directory.join("moved.yaml"), directory.join("again.yaml"))?;
    goes_on(&tidegate, "http://deeper.test/").await?;
    fs::remove_file(directory.join("again.yaml"))?;
    tidegate.becomes("http://deeper.test/", Status(404)).await?;
    tidegate.expect("http://new.test/", From("app-1")).await?;
    ensure!(tidegate.diagnostics().await?.is_empty(), "{:?}", tidegate.diagnostics().await?);
    Ok(())
}

async fn a_list_of_objects_and_json_are_read(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let directory = site.directory()?;
    // What `kubectl get -o yaml` and `-o json` print.
    let item = |name: &str| {
        serde_json::json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
            "spec": {"ingressClassName": site.fill("$CLASS"), "rules": [{"host": format!("{name}.test"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "app", "port": {"number": 80}}}}]}}]},
        })
    };
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [item("one"), item("two")]});
    fs::write(directory.join("list.json"), serde_json::to_string_pretty(&list)?)?;
    fs::write(directory.join("one.json"), item("three").to_string())?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[("http://one.test/", From("app-1")), ("http://two.test/", From("app-1")), ("http://three.test/", From("app-1"))])
        .await
}

async fn the_same_object_in_two_files_is_told(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let directory = site.directory()?;
    fs::write(directory.join("a.yaml"), host(site, "app", "a.test")?)?;
    fs::write(directory.join("b.yaml"), host(site, "app", "b.test")?)?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://a.test/", From("app-1")), ("http://b.test/", Status(404))]).await?;
    tidegate.diagnosed("duplicate_object", "app").await?;
    fs::remove_file(directory.join("a.yaml"))?;
    tidegate.becomes("http://b.test/", From("app-1")).await?;
    tidegate.no_more("duplicate_object").await
}

async fn saving_many_times_under_load_fails_no_request(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 2).await?;
    let path = site.directory()?.join("edited.yaml");
    fs::write(&path, host(site, "busy", "busy.test")?)?;
    let tidegate = site.tidegate(&["--access-log=off"]).await?;
    let load = Load::start(tidegate.http, "busy.test", 200)?;
    for version in 0..50 {
        let text = site.fill(&ingress("busy", &["busy.test/ Prefix app", &format!("busy.test/v{version} Prefix app")])?);
        fs::write(&path, text)?;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    tidegate.becomes("http://busy.test/v49", From("app-")).await?;
    load.end().await.all_good(300)
}
