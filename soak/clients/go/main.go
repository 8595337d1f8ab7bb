// Client calls or watches lossd with grpc-go; ../README.md says how it is used.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
)

const (
	compute  = "/lossd.v1.LossService/ComputeLoss"
	watch    = "/grpc.health.v1.Health/Watch"
	workers  = 8
	deadline = 30 * time.Second
	ping     = 10 * time.Second
)

// rawCodec passes messages on as *[]byte.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}
func (rawCodec) Name() string { return "proto" }

type report struct {
	Version  string            `json:"version"`
	Sent     int               `json:"sent"`
	Calls    int               `json:"calls"`
	Codes    map[string]int    `json:"codes"`
	Wrong    int               `json:"wrong"`
	Texts    map[string]string `json:"texts"`
	Messages int               `json:"messages"`
	Ended    string            `json:"ended"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: client load ADDRESSES CONFIG SAMPLES | client watch ADDRESS")
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var done report
	if os.Args[1] == "load" {
		done = load(ctx, os.Args[2:])
	} else {
		done = watchHealth(ctx, os.Args[2])
	}
	done.Version = grpc.Version
	if err := json.NewEncoder(os.Stdout).Encode(done); err != nil {
		log.Fatal(err)
	}
}

func load(ctx context.Context, arguments []string) report {
	samples, config := readSamples(arguments[2]), read(arguments[1])
	channel := dial(strings.Split(arguments[0], ","), grpc.WithDefaultServiceConfig(string(config)))
	defer channel.Close()

	seen := report{Codes: map[string]int{}, Texts: map[string]string{}}
	var mu sync.Mutex // guards seen
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for ctx.Err() == nil {
				chosen := samples[rand.IntN(len(samples))]
				mu.Lock()
				seen.Sent++
				mu.Unlock()
				reply, err := call(channel, chosen.request)
				mu.Lock()
				seen.Calls++
				if code := status.Code(err).String(); err != nil {
					seen.Codes[code]++
					seen.Texts[code] = err.Error()
				} else if !chosen.answeredBy(reply) {
					seen.Wrong++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return seen
}

// call does not end with the load, so that the last calls are counted as they were answered.
func call(channel *grpc.ClientConn, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var reply []byte
	err := channel.Invoke(ctx, compute, &request, &reply, grpc.ForceCodec(rawCodec{}))
	return reply, err
}

func watchHealth(ctx context.Context, address string) report {
	channel := dial([]string{address},
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: ping, Timeout: ping}))
	defer channel.Close()
	description := grpc.StreamDesc{StreamName: "Watch", ServerStreams: true}
	stream, err := channel.NewStream(ctx, &description, watch, grpc.ForceCodec(rawCodec{}))
	check(err)
	var request []byte
	check(stream.SendMsg(&request))
	check(stream.CloseSend())

	var seen report
	for {
		var reply []byte
		if err := stream.RecvMsg(&reply); err != nil {
			if ctx.Err() == nil {
				seen.Ended = err.Error()
			}
			return seen
		}
		seen.Messages++
	}
}

func dial(addresses []string, options ...grpc.DialOption) *grpc.ClientConn {
	known := manual.NewBuilderWithScheme("soak")
	var state resolver.State
	for _, address := range addresses {
		endpoint := resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}}
		state.Endpoints = append(state.Endpoints, endpoint)
	}
	known.InitialState(state)
	options = append(options, grpc.WithResolvers(known),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	channel, err := grpc.NewClient("soak:///lossd", options...)
	check(err)
	return channel
}

// sample is a request, and how its reply must begin and end.
type sample struct{ request, start, end []byte }

func (s sample) answeredBy(reply []byte) bool {
	return bytes.HasPrefix(reply, s.start) && bytes.HasSuffix(reply, s.end)
}

func readSamples(folder string) []sample {
	paths, err := filepath.Glob(filepath.Join(folder, "*.request"))
	check(err)
	var samples []sample
	for _, path := range paths {
		stem := strings.TrimSuffix(path, ".request")
		samples = append(samples, sample{read(path), read(stem + ".start"), read(stem + ".end")})
	}
	return samples
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
