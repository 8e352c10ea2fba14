// One program for the whole control plane of the tests: it looks at the name
// it was called by and becomes etcd, kube-apiserver, kube-controller-manager
// or kubectl. One program because they share most of their code: it is built,
// linked and stored once.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	_ "time/tzdata" // time zones of CronJobs, on machines without their own

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // ways to log in, for kubectl
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the API clients
	_ "k8s.io/component-base/metrics/prometheus/version"  // the build's own metric
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		serve(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		serve(controllermanager.NewControllerManagerCommand())
	case "kubectl":
		runKubectl()
	default:
		fmt.Fprintf(os.Stderr, "control-plane: called as %q, but it can only be etcd, "+
			"kube-apiserver, kube-controller-manager or kubectl: "+
			"call it through a link of that name\n", name)
		os.Exit(2)
	}
}

func serve(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func runKubectl() {
	// kubectl has a command where the others have a flag.
	if slices.Equal(os.Args[1:], []string{"--version"}) {
		os.Args = []string{os.Args[0], "version", "--client"}
	}

	// Verbosity counts already while the command is put together.
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))

	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}
