// Command driver runs one verb of Go libcni, so that tests can hand its work to another implementation and take it back.
//
// usage: driver add|check|del|cached-result|cached-config FLAGS
//
// Answers are JSON on stdout, "null" when nothing is stored. A failure goes to stderr as text; the exit status is 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

// request is everything the command line says.
type request struct {
	confDir, binDir, cacheDir, network string
	runtime                            libcni.RuntimeConf
}

// cachedConfig is what Go libcni has stored of an ADD, as this program prints it.
type cachedConfig struct {
	Config         json.RawMessage        `json:"config"`
	Args           [][2]string            `json:"args"`
	CapabilityArgs map[string]interface{} `json:"capabilityArgs"`
}

func main() {
	answer, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	encoder := json.NewEncoder(os.Stdout)
	if err := encoder.Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) (interface{}, error) {
	if len(arguments) == 0 {
		return nil, errors.New("a verb is missing: add, check, del, cached-result or cached-config")
	}
	asked, err := parse(arguments[1:])
	if err != nil {
		return nil, err
	}
	list, err := libcni.LoadConfList(asked.confDir, asked.network)
	if err != nil {
		return nil, err
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{asked.binDir}, asked.cacheDir, nil)
	background := context.Background()
	switch arguments[0] {
	case "add":
		return cni.AddNetworkList(background, list, &asked.runtime)
	case "check":
		return nil, cni.CheckNetworkList(background, list, &asked.runtime)
	case "del":
		return nil, cni.DelNetworkList(background, list, &asked.runtime)
	case "cached-result":
		return cni.GetNetworkListCachedResult(list, &asked.runtime)
	case "cached-config":
		return stored(cni.GetNetworkListCachedConfig(list, &asked.runtime))
	}
	return nil, fmt.Errorf("unknown verb %q", arguments[0])
}

func parse(arguments []string) (*request, error) {
	asked := &request{}
	flags := flag.NewFlagSet("driver", flag.ContinueOnError)
	flags.StringVar(&asked.confDir, "conf-dir", "", "directory of network configurations")
	flags.StringVar(&asked.binDir, "bin-dir", "", "directory of plugins")
	flags.StringVar(&asked.cacheDir, "cache-dir", "", "directory of stored results")
	flags.StringVar(&asked.network, "network", "", "name of the network")
	flags.StringVar(&asked.runtime.ContainerID, "container-id", "", "id of the container")
	flags.StringVar(&asked.runtime.IfName, "ifname", "eth0", "name of the interface in the container")
	flags.StringVar(&asked.runtime.NetNS, "netns", "", "path of the network namespace")
	args := flags.String("args", "", "CNI_ARGS, as in KEY=VALUE;KEY=VALUE")
	capabilityArgs := flags.String("cap-args", "", "capability arguments, a JSON object")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if *args != "" {
		for _, pair := range strings.Split(*args, ";") {
			key, value, _ := strings.Cut(pair, "=")
			asked.runtime.Args = append(asked.runtime.Args, [2]string{key, value})
		}
	}
	if *capabilityArgs != "" {
		if err := json.Unmarshal([]byte(*capabilityArgs), &asked.runtime.CapabilityArgs); err != nil {
			return nil, fmt.Errorf("-cap-args: %w", err)
		}
	}
	return asked, nil
}

func stored(config []byte, runtime *libcni.RuntimeConf, err error) (interface{}, error) {
	if err != nil || config == nil {
		return nil, err
	}
	return cachedConfig{json.RawMessage(config), runtime.Args, runtime.CapabilityArgs}, nil
}
