// Computes a loss of 2 MB of logits with gRPC's own retries:
// retry HOST:PORT service_config.json
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	lossdv1 "lossd/v1"
)

func main() {
	config, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	const buffer = 64 << 20
	connection, err := grpc.Dial(os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(config)),
		grpc.WithDefaultCallOptions(
			// gRPC keeps a request of at most 256 KiB for another attempt unless this says more.
			grpc.MaxRetryRPCBufferSize(buffer),
			grpc.MaxCallRecvMsgSize(buffer)))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	const elements = 1 << 19
	zeros := &lossdv1.Tensor{
		Shape:   []int64{elements},
		Storage: &lossdv1.Tensor_Data{Data: make([]byte, 4*elements)},
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request := &lossdv1.ComputeLossRequest{Logits: zeros, Targets: zeros}
	response, err := lossdv1.NewLossServiceClient(connection).ComputeLoss(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Loss)
}
