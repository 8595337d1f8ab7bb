// Tries a server with gRPC as Go has it, and prints what came back, a name=value a line:
// smoke HOST:PORT FULL_HOST:PORT, the address of a server and of one that refuses requests
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log"
	"math"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	lossdv1 "lossd/v1"
)

const (
	rows    = 1024
	columns = 1024
)

// Returns float32 as the wire has them: little-endian, whatever this machine is.
func pack(values []float32) []byte {
	data := make([]byte, 4*len(values))
	for i, value := range values {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(value))
	}
	return data
}

func float32At(data []byte, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
}

// Returns a mean over 1 Mi logits with one bit for each target.
func request() *lossdv1.ComputeLossRequest {
	logits := make([]float32, rows*columns)
	bits := make([]byte, rows*columns/8)
	for i := range logits {
		logits[i] = float32(i*37%257-128) / 16
		if i%3 == 0 {
			bits[i/8] |= 1 << (i % 8) // the least significant bit is the first
		}
	}
	shape := []int64{rows, columns}
	return &lossdv1.ComputeLossRequest{
		Logits: &lossdv1.Tensor{
			Dtype:   lossdv1.DataType_DATA_TYPE_FLOAT32,
			Shape:   shape,
			Storage: &lossdv1.Tensor_Data{Data: pack(logits)},
		},
		Targets: &lossdv1.Tensor{
			Dtype:   lossdv1.DataType_DATA_TYPE_BIT,
			Shape:   shape,
			Storage: &lossdv1.Tensor_Data{Data: bits},
		},
	}
}

func connect(target string) lossdv1.LossServiceClient {
	connection, err := grpc.Dial(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	return lossdv1.NewLossServiceClient(connection)
}

func numbers(values ...float64) *lossdv1.Tensor {
	return &lossdv1.Tensor{Values: values}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	client := connect(os.Args[1])

	_, err := client.ComputeLoss(ctx, request())
	fmt.Printf("code_at_default_limit=%v\n", status.Code(err))

	response, err := client.ComputeLoss(ctx, request(), grpc.MaxCallRecvMsgSize(64<<20))
	if err != nil {
		log.Fatal(err)
	}
	gradient := response.Gradient.GetData()
	fmt.Printf("loss=%v\n", response.Loss)
	fmt.Printf("gradient_sha256=%x\n", sha256.Sum256(gradient))
	fmt.Printf("gradient_1=%v\n", float64(float32At(gradient, 1)))

	bad := &lossdv1.ComputeLossRequest{Logits: numbers(0, 0), Targets: numbers(1, 3)}
	_, err = client.ComputeLoss(ctx, bad)
	fmt.Printf("bad_code=%v\nbad_message=%s\n", status.Code(err), status.Convert(err).Message())

	var trailer metadata.MD
	good := &lossdv1.ComputeLossRequest{Logits: numbers(0), Targets: numbers(1)}
	_, err = connect(os.Args[2]).ComputeLoss(ctx, good, grpc.Trailer(&trailer))
	fmt.Printf("full_code=%v\n", status.Code(err))
	fmt.Printf("full_pushback_ms=%s\n", trailer.Get("grpc-retry-pushback-ms")[0])
}
