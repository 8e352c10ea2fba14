//! Values that stop helm, and what it says: where the value is, and what to do.

use anyhow::ensure;
use tidegate_tests::helm;
use tidegate_tests::site::Site;

use crate::world;

tidegate_tests::scenarios!("refusals":
    a_wrong_value_stops_helm_and_its_path_is_named,
    what_would_fail_open_or_is_not_there_is_refused_with_a_reason,
);

async fn said(set: &[&str]) -> anyhow::Result<String> {
    let chart = helm::chart();
    let mut arguments = vec!["template".to_owned(), "edge".to_owned(), chart.to_string_lossy().into_owned()];
    for value in set {
        arguments.extend(["--set".to_owned(), (*value).to_owned()]);
    }
    match world::helm()?.run(&arguments).await {
        Ok(_) => anyhow::bail!("{set:?} is taken"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

async fn a_wrong_value_stops_helm_and_its_path_is_named(_: &Site) -> anyhow::Result<()> {
    let cases: &[(&str, &str, &str)] = &[
        ("controler.replicaCount=2", "at ''", "'controler' not allowed"),
        ("controller.replicCount=2", "/controller'", "'replicCount' not allowed"),
        ("controller.replicaCount=two", "/controller/replicaCount'", "want integer"),
        ("controller.replicaCount=-1", "/controller/replicaCount'", "minimum"),
        ("controller.kind=Both", "/controller/kind'", "DaemonSet"),
        ("controller.image.pullPolicy=Sometimes", "/controller/image/pullPolicy'", "IfNotPresent"),
        ("controller.image.digest=abc", "/controller/image/digest'", "pattern"),
        ("controller.service.type=Loadbalancer", "/controller/service/type'", "LoadBalancer"),
        ("controller.service.ports.http=70000", "/controller/service/ports/http'", "maximum"),
        ("controller.service.externalTrafficPolicy=local", "/controller/service/externalTrafficPolicy'", "Local"),
        ("controller.service.internal.ports.htpp=80", "/controller/service/internal/ports'", "'htpp' not allowed"),
        ("controller.ingressClassResource.controllerValue=nginx", "/controller/ingressClassResource/controllerValue'", "pattern"),
        ("controller.ingressClassResource.parameters.knd=x", "/controller/ingressClassResource/parameters'", "'knd' not allowed"),
        ("controller.metrics.serviceMonitor.scrapeInterval=often", "/controller/metrics/serviceMonitor/scrapeInterval'", "pattern"),
        ("controller.extraArgs.Drain=1", "/controller/extraArgs'", "Drain"),
        ("controller.tolerations.key=x", "/controller/tolerations'", "want array"),
        ("crds.enabled=yes", "/crds/enabled'", "want boolean"),
        ("rbac.scoped=true", "/rbac'", "'scoped' not allowed"),
        ("serviceAccount.create=1", "/serviceAccount/create'", "want boolean"),
        ("defaultBackend.image.tga=1", "/defaultBackend/image'", "'tga' not allowed"),
        ("global.image.registery=x", "/global/image'", "'registery' not allowed"),
    ];
    let mut wrong = Vec::new();
    for (set, path, reason) in cases {
        let said = said(&[set]).await?;
        if !said.contains(path) || !said.contains(reason) {
            wrong.push(format!("{set}: {said}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn what_would_fail_open_or_is_not_there_is_refused_with_a_reason(_: &Site) -> anyhow::Result<()> {
    let cases: &[(&[&str], &str)] = &[
        (&["tcp.8080=default/app:80"], "does not forward TCP or UDP ports yet"),
        (&["udp.53=kube-system/dns:53"], "does not forward TCP or UDP ports yet"),
        (&["controller.scope.enabled=true", "controller.scope.namespaceSelector=team=a"], "controller.scope.namespaceSelector: "),
        (&["controller.config.whitelist-source-range=10.0.0.0/8"], "controller.config.whitelist-source-range: it protects something"),
        (&["controller.config.enable-modsecurity=true"], "controller.config.enable-modsecurity: it protects something"),
        (&["rbac.scope=true"], "rbac.scope: "),
        (&["controller.image.image=ingress-nginx/controller"], "controller.image: it names ingress-nginx's image"),
        (&["controller.image.repository=example.com/mirror/ingress-nginx/controller"], "controller.image: it names ingress-nginx's image"),
        (
            &["defaultBackend.enabled=true", "controller.scope.enabled=true", "controller.scope.namespace=elsewhere"],
            "which controller.scope.namespace leaves out",
        ),
        (
            &["controller.extraArgs.http=:81"],
            "controller.extraArgs.http: ports, probes and rights would not follow it; set controller.containerPort.http",
        ),
        (&["controller.extraArgs.https=:444"], "set controller.containerPort.https instead"),
        (&["controller.extraArgs.health=:9000"], "set controller.metrics.port instead"),
        (&["controller.extraArgs.election-lease=a/b"], "set controller.electionID instead"),
        (&["controller.extraArgs.watch-namespace=a"], "set controller.scope instead"),
        (&["controller.extraArgs.enable-ssl-passthrough="], "enable-ssl-passthrough: Tidegate has no such flag; take it out"),
        (&["controller.extraArgs.healthz-port=10254"], "healthz-port: Tidegate has no such flag; set controller.metrics.port instead"),
        (
            &["controller.extraArgs.publish-service=a/b", "controller.extraArgs.publish-status-address=192.0.2.1"],
            "controller.extraArgs: publish-service and publish-status-address exclude each other",
        ),
        (
            &["controller.scope.enabled=true", "rbac.scope=true", "controller.extraArgs.publish-nodes-of=a/b=c"],
            "controller.extraArgs.publish-nodes-of: rbac.scope leaves out",
        ),
        (&["controller.extraArgs.drain-min=4m1s"], "drain-min: 4m1s is longer than --drain-max, which is 240s"),
        (&["controller.extraArgs.drain-min=20s", "controller.extraArgs.drain-max=15s"], "longer than --drain-max, which is 15s"),
        (
            &["controller.extraArgs.drain-min=50s", "controller.terminationGracePeriodSeconds=40"],
            "which is 30s; raise controller.terminationGracePeriodSeconds",
        ),
    ];
    for (set, reason) in cases {
        let said = said(set).await?;
        ensure!(said.contains(reason), "{set:?}: {said}");
    }
    Ok(())
}
