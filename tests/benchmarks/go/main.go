// A worker that measures Go libcni from inside: each mode prints one JSON object of seconds, and takes what worker.py takes.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containernetworking/cni/libcni"
)

type settings struct {
	confDir, binDir, cacheDir, network string
	rounds, parallel                   int
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ownCPU() float64 {
	var usage syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func runtimeConf(prefix string, number int) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: fmt.Sprintf("%s%06d", prefix, number),
		NetNS:       "/proc/self/ns/net",
		IfName:      "eth0",
	}
}

// measure times a function over the rounds and notes wall and processor seconds for each.
func measure(times map[string]float64, name string, rounds int, each func(int) error) {
	cpu, start := ownCPU(), time.Now()
	for i := 0; i < rounds; i++ {
		fail(each(i))
	}
	times[name] = time.Since(start).Seconds() / float64(rounds)
	times[name+"_cpu"] = (ownCPU() - cpu) / float64(rounds)
}

func verbs(cni *libcni.CNIConfig, s settings) map[string]float64 {
	list, err := libcni.LoadConfList(s.confDir, s.network)
	fail(err)
	ctx := context.Background()
	add := func(prefix string) func(int) error {
		return func(i int) error {
			_, err := cni.AddNetworkList(ctx, list, runtimeConf(prefix, i))
			return err
		}
	}
	check := func(i int) error { return cni.CheckNetworkList(ctx, list, runtimeConf("c", i)) }
	del := func(prefix string) func(int) error {
		return func(i int) error { return cni.DelNetworkList(ctx, list, runtimeConf(prefix, i)) }
	}
	times := map[string]float64{}
	ignored := map[string]float64{}
	measure(ignored, "add", 10, add("w"))
	measure(ignored, "del", 10, del("w"))
	measure(times, "add", s.rounds, add("c"))
	measure(times, "check", s.rounds, check)
	measure(times, "del", s.rounds, del("c"))
	return times
}

func parallel(cni *libcni.CNIConfig, s settings) map[string]float64 {
	list, err := libcni.LoadConfList(s.confDir, s.network)
	fail(err)
	ctx := context.Background()
	cycle := func(number int) {
		rt := runtimeConf("p", number)
		_, err := cni.AddNetworkList(ctx, list, rt)
		fail(err)
		fail(cni.DelNetworkList(ctx, list, rt))
	}
	cycle(0)
	start := time.Now()
	var group sync.WaitGroup
	for worker := 0; worker < s.parallel; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for i := 0; i < s.rounds; i++ {
				cycle(worker*s.rounds + i)
			}
		}(worker)
	}
	group.Wait()
	return map[string]float64{"cycle": time.Since(start).Seconds() / float64(s.parallel*s.rounds)}
}

func load(s settings) map[string]float64 {
	times := map[string]float64{}
	measure(times, "load", s.rounds, func(int) error {
		_, err := libcni.LoadConfList(s.confDir, s.network)
		return err
	})
	return times
}

// attachments reads and decodes each cache file, which Go libcni 1.1 has no function for.
func attachments(s settings) map[string]float64 {
	type entry struct {
		Kind        string                 `json:"kind"`
		ContainerID string                 `json:"containerId"`
		Config      []byte                 `json:"config"`
		IfName      string                 `json:"ifName"`
		NetworkName string                 `json:"networkName"`
		CniArgs     [][2]string            `json:"cniArgs,omitempty"`
		Result      map[string]interface{} `json:"result,omitempty"`
	}
	read := func(containerID string) int {
		folder := filepath.Join(s.cacheDir, "results")
		files, err := os.ReadDir(folder)
		fail(err)
		found := 0
		for _, file := range files {
			data, err := os.ReadFile(filepath.Join(folder, file.Name()))
			fail(err)
			var decoded entry
			fail(json.Unmarshal(data, &decoded))
			if containerID == "" || decoded.ContainerID == containerID {
				found++
			}
		}
		return found
	}
	times := map[string]float64{}
	measure(times, "list", s.rounds, func(int) error {
		if read("") == 0 {
			return fmt.Errorf("no attachments in %s", s.cacheDir)
		}
		return nil
	})
	measure(times, "list_one", s.rounds, func(int) error {
		if read("s000007") != 1 {
			return fmt.Errorf("attachment not found")
		}
		return nil
	})
	return times
}

func collect(cni *libcni.CNIConfig, s settings) map[string]float64 {
	list, err := libcni.LoadConfList(s.confDir, s.network)
	fail(err)
	times := map[string]float64{}
	start := time.Now()
	for i := 0; i < s.rounds; i++ {
		fail(cni.DelNetworkList(context.Background(), list, runtimeConf("s", i)))
	}
	times["gc"] = time.Since(start).Seconds()
	return times
}

func main() {
	var s settings
	flag.StringVar(&s.confDir, "conf-dir", "", "")
	flag.StringVar(&s.binDir, "bin-dir", "", "")
	flag.StringVar(&s.cacheDir, "cache-dir", "", "")
	flag.StringVar(&s.network, "network", "bench", "")
	flag.IntVar(&s.rounds, "rounds", 100, "")
	flag.IntVar(&s.parallel, "parallel", 32, "")
	mode := os.Args[1]
	fail(flag.CommandLine.Parse(os.Args[2:]))
	cni := libcni.NewCNIConfigWithCacheDir(strings.Split(s.binDir, ":"), s.cacheDir, nil)
	var times map[string]float64
	switch mode {
	case "verbs":
		times = verbs(cni, s)
	case "parallel":
		times = parallel(cni, s)
	case "load":
		times = load(s)
	case "attachments":
		times = attachments(s)
	case "collect":
		times = collect(cni, s)
	default:
		fail(fmt.Errorf("unknown mode %q", mode))
	}
	fail(json.NewEncoder(os.Stdout).Encode(times))
}
