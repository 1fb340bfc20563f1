// client-go's rawkv behind the line protocol of clients.ts.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/tikv/client-go/v2/rawkv"
)

func main() {
	version := kvrpcpb.APIVersion_V1
	options := []rawkv.ClientOpt{}
	if os.Args[2] == "2" {
		version = kvrpcpb.APIVersion_V2
		options = append(options, rawkv.WithKeyspace("DEFAULT"))
	}
	options = append(options, rawkv.WithAPIVersion(version))
	client, err := rawkv.NewClientWithOpts(context.Background(), strings.Split(os.Args[1], ","), options...)
	if err != nil {
		fmt.Printf("error\t%q\n", err.Error())
		os.Exit(1)
	}
	client.SetAtomicForCAS(true)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		answer, err := run(ctx, client, strings.Split(lines.Text(), "\t"))
		cancel()
		if err != nil {
			fmt.Printf("error\t%q\n", err.Error())
			continue
		}
		fmt.Println("ok\t" + answer)
	}
}

func shown(value []byte) string {
	if value == nil {
		return "-"
	}
	return "=" + string(value)
}

func run(ctx context.Context, client *rawkv.Client, words []string) (string, error) {
	key := []byte(words[1])
	switch words[0] {
	case "get":
		value, err := client.Get(ctx, key)
		return shown(value), err
	case "batchGet":
		keys := [][]byte{}
		for _, word := range words[1:] {
			keys = append(keys, []byte(word))
		}
		values, err := client.BatchGet(ctx, keys)
		out := []string{}
		for _, value := range values {
			out = append(out, shown(value))
		}
		return strings.Join(out, "\t"), err
	case "put":
		ttl, _ := strconv.ParseUint(words[3], 10, 64)
		return "", client.PutWithTTL(ctx, key, []byte(words[2]), ttl)
	case "delete":
		return "", client.Delete(ctx, key)
	case "ttl":
		ttl, err := client.GetKeyTTL(ctx, key)
		if err != nil || ttl == nil {
			return "-", err
		}
		return strconv.FormatUint(*ttl, 10), nil
	case "cas":
		// No TTL: client-go's compare-and-swap has no argument for it.
		var previous []byte
		if words[2] != "-" {
			previous = []byte(words[2][1:])
		}
		old, swapped, err := client.CompareAndSwap(ctx, key, previous, []byte(words[3]))
		return strconv.FormatBool(swapped) + "\t" + shown(old), err
	}
	return "", fmt.Errorf("unknown command %q", words[0])
}
