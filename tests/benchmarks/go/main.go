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
	confDir, binDir, cacheDir, netns string
	containers, parallel             int
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

func container(name, netns string) *libcni.RuntimeConf {
	return &libcni.RuntimeConf{ContainerID: "container-" + name, NetNS: netns, IfName: "b" + name}
}

func containers(s settings) []*libcni.RuntimeConf {
	paths := []string{"/proc/self/ns/net"}
	if s.netns != "" {
		data, err := os.ReadFile(s.netns)
		fail(err)
		paths = strings.Fields(string(data))
	}
	found := []*libcni.RuntimeConf{container("w0", paths[0])}
	for i := 0; i < s.containers; i++ {
		found = append(found, container(fmt.Sprintf("c%d", i), paths[i%len(paths)]))
	}
	return found
}

// timed notes the wall seconds of a piece of work and its processor seconds, without those of children, for each of count.
func timed(times map[string]float64, name string, count int, work func()) {
	cpu, start := ownCPU(), time.Now()
	work()
	times[name] = time.Since(start).Seconds() / float64(count)
	times[name+"_cpu"] = (ownCPU() - cpu) / float64(count)
}

// forEach does a piece of work for each container, so many at once.
func forEach(all []*libcni.RuntimeConf, parallel int, each func(*libcni.RuntimeConf) error) {
	if parallel == 1 {
		for _, rt := range all {
			fail(each(rt))
		}
		return
	}
	waiting := make(chan *libcni.RuntimeConf, len(all))
	for _, rt := range all {
		waiting <- rt
	}
	close(waiting)
	var group sync.WaitGroup
	for i := 0; i < parallel; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for rt := range waiting {
				fail(each(rt))
			}
		}()
	}
	group.Wait()
}

func verbs(cni *libcni.CNIConfig, s settings) map[string]float64 {
	list, err := libcni.LoadConfList(s.confDir, "bench")
	fail(err)
	ctx := context.Background()
	add := func(rt *libcni.RuntimeConf) error {
		_, err := cni.AddNetworkList(ctx, list, rt)
		return err
	}
	check := func(rt *libcni.RuntimeConf) error { return cni.CheckNetworkList(ctx, list, rt) }
	del := func(rt *libcni.RuntimeConf) error { return cni.DelNetworkList(ctx, list, rt) }
	all := containers(s)
	forEach(all[:1], 1, add)
	forEach(all[:1], 1, check)
	forEach(all[:1], 1, del)
	all = all[1:]
	times := map[string]float64{}
	timed(times, "add", len(all), func() { forEach(all, s.parallel, add) })
	timed(times, "check", len(all), func() { forEach(all, s.parallel, check) })
	timed(times, "del", len(all), func() { forEach(all, s.parallel, del) })
	return times
}

func load(s settings) map[string]float64 {
	times := map[string]float64{}
	timed(times, "load", s.containers, func() {
		for i := 0; i < s.containers; i++ {
			_, err := libcni.LoadConfList(s.confDir, "bench")
			fail(err)
		}
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
	times := map[string]float64{}
	timed(times, "list", 1, func() {
		folder := filepath.Join(s.cacheDir, "results")
		files, err := os.ReadDir(folder)
		fail(err)
		for _, file := range files {
			data, err := os.ReadFile(filepath.Join(folder, file.Name()))
			fail(err)
			var decoded entry
			fail(json.Unmarshal(data, &decoded))
		}
		if len(files) == 0 {
			fail(fmt.Errorf("no attachments in %s", s.cacheDir))
		}
	})
	return times
}

func collect(cni *libcni.CNIConfig, s settings) map[string]float64 {
	list, err := libcni.LoadConfList(s.confDir, "bench")
	fail(err)
	times := map[string]float64{}
	timed(times, "gc", 1, func() {
		forEach(containers(s)[1:], 1, func(rt *libcni.RuntimeConf) error {
			return cni.DelNetworkList(context.Background(), list, rt)
		})
	})
	return times
}

func main() {
	var s settings
	flag.StringVar(&s.confDir, "conf-dir", "", "")
	flag.StringVar(&s.binDir, "bin-dir", "", "")
	flag.StringVar(&s.cacheDir, "cache-dir", "", "")
	flag.StringVar(&s.netns, "netns", "", "")
	flag.IntVar(&s.containers, "containers", 1, "")
	flag.IntVar(&s.parallel, "parallel", 1, "")
	mode := os.Args[1]
	fail(flag.CommandLine.Parse(os.Args[2:]))
	cni := libcni.NewCNIConfigWithCacheDir(strings.Split(s.binDir, ":"), s.cacheDir, nil)
	var times map[string]float64
	switch mode {
	case "verbs":
		times = verbs(cni, s)
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
