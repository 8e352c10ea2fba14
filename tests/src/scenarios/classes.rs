//! Whose Ingresses are served.

use crate::site::{Site, ingress};
use crate::tidegate::Want::{From, Status};

crate::scenarios!("classes":
    an_ingress_of_a_class_that_nobody_owns_is_not_served,
    an_ingress_of_another_controller_is_not_served,
    the_old_annotation_names_a_class_too,
    an_ingress_without_a_class_is_served_only_where_the_flag_says_so,
    an_ingress_that_changes_hands_is_let_go_and_taken_up,
    a_class_that_changes_hands_takes_its_ingresses_along;
    alone:
    the_default_class_is_for_ingresses_without_one,
);

const OTHER: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other-$CLASS}
spec: {controller: example.com/other}
";

/// The Ingress with another class; an empty one is none.
fn in_class(name: &str, host: &str, class: &str) -> anyhow::Result<String> {
    let line = if class.is_empty() { String::new() } else { format!("  ingressClassName: {class}\n") };
    Ok(ingress(name, &[&format!("{host}/ Prefix app")])?.replace("  ingressClassName: $CLASS\n", &line))
}

async fn an_ingress_of_a_class_that_nobody_owns_is_not_served(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&in_class("ours", "ours.test", "$CLASS")?).await?;
    site.apply(&in_class("nobody", "nobody.test", "no-such-$CLASS")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://ours.test/", From("app-1")), ("http://nobody.test/", Status(404))]).await
}

async fn an_ingress_of_another_controller_is_not_served(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(OTHER).await?;
    site.apply(&in_class("ours", "ours.test", "$CLASS")?).await?;
    site.apply(&in_class("theirs", "theirs.test", "other-$CLASS")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://ours.test/", From("app-1")), ("http://theirs.test/", Status(404))]).await
}

async fn the_old_annotation_names_a_class_too(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let old = |name: &str, class: &str| -> anyhow::Result<String> {
        let metadata = format!("{{name: {name}, annotations: {{kubernetes.io/ingress.class: {class}}}}}");
        Ok(in_class(name, &format!("{name}.test"), "")?.replacen(&format!("{{name: {name}}}"), &metadata, 1))
    };
    site.apply(&old("ours", "$CLASS")?).await?;
    site.apply(&old("theirs", "some-$CLASS")?).await?;
    site.apply(&old("named", "by-name-$CLASS")?).await?;
    let tidegate = site.tidegate(&["--ingress-class=by-name-$CLASS"]).await?;
    tidegate
        .expect_all(&[
            ("http://ours.test/", From("app-1")),
            ("http://theirs.test/", Status(404)),
            // There is no such IngressClass object: the flag says that the name means us.
            ("http://named.test/", From("app-1")),
        ])
        .await
}

async fn an_ingress_without_a_class_is_served_only_where_the_flag_says_so(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&in_class("none", "none.test", "")?).await?;
    let without = site.tidegate(&[]).await?;
    without.expect("http://none.test/", Status(404)).await?;
    let with = site.tidegate(&["--watch-ingress-without-class"]).await?;
    with.expect("http://none.test/", From("app-1")).await?;
    Ok(())
}

async fn an_ingress_that_changes_hands_is_let_go_and_taken_up(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(OTHER).await?;
    site.apply(&in_class("app", "app.test", "$CLASS")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://app.test/", From("app-1")).await?;
    for _ in 0..2 {
        site.apply(&in_class("app", "app.test", "other-$CLASS")?).await?;
        tidegate.becomes("http://app.test/", Status(404)).await?;
        site.apply(&in_class("app", "app.test", "$CLASS")?).await?;
        tidegate.becomes("http://app.test/", From("app-1")).await?;
    }
    Ok(())
}

async fn a_class_that_changes_hands_takes_its_ingresses_along(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&in_class("app", "app.test", "late-$CLASS")?).await?;
    let class = |controller: &str| OTHER.replace("other-$CLASS", "late-$CLASS").replace("example.com/other", controller);
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://app.test/", Status(404)).await?;
    for _ in 0..2 {
        // The controller of a class cannot be changed: it is made anew.
        site.apply(&class("$CONTROLLER")).await?;
        tidegate.becomes("http://app.test/", From("app-1")).await?;
        site.delete("IngressClass", "late-$CLASS").await?;
        site.apply(&class("example.com/other")).await?;
        tidegate.becomes("http://app.test/", Status(404)).await?;
        site.delete("IngressClass", "late-$CLASS").await?;
    }
    Ok(())
}

/// Alone, since the API server gives the default class to every Ingress made meanwhile; in a directory we do it ourselves.
async fn the_default_class_is_for_ingresses_without_one(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(
        "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: $CLASS, annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}}
spec: {controller: $CONTROLLER}
",
    )
    .await?;
    let made = async {
        // The API server learns of classes by a watch of its own: until then it leaves the class out.
        crate::wait::until_ok(async || {
            site.apply(&in_class("none", "none.test", "")?).await?;
            if site.is_directory() {
                return Ok(());
            }
            let ingress = site.get("Ingress", "none").await?;
            if ingress.data["spec"]["ingressClassName"].is_null() {
                site.delete("Ingress", "none").await?;
                anyhow::bail!("the API server gave it no class");
            }
            Ok(())
        })
        .await?;
        let tidegate = site.tidegate(&[]).await?;
        tidegate.expect("http://none.test/", From("app-1")).await?;
        anyhow::Ok(())
    }
    .await;
    site.delete("IngressClass", "$CLASS").await?;
    made
}
