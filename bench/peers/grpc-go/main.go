// Command bench_go_server is the grpc-go peer: the benchmark's service with the flags of the other servers.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"rill/bench/benchpb"
)

type server struct {
	benchpb.UnimplementedBenchServer
	capacity             int
	unary, received, out atomic.Uint64
	mutex                sync.Mutex
	subscribers          map[*subscriber]struct{}
}

type subscriber struct {
	events chan *benchpb.Event
	gone   <-chan struct{}
}

func (s *server) Unary(_ context.Context, request *benchpb.Payload) (*benchpb.Payload, error) {
	s.unary.Add(1)
	return request, nil
}

func (s *server) Down(request *benchpb.DownRequest, stream grpc.ServerStreamingServer[benchpb.Payload]) error {
	message := &benchpb.Payload{Data: []byte(strings.Repeat("x", int(request.Size)))}
	for range request.Count {
		if err := stream.Send(message); err != nil {
			return err
		}
		s.out.Add(1)
	}
	return nil
}

func (s *server) Up(stream grpc.ClientStreamingServer[benchpb.Payload, benchpb.UpSummary]) error {
	summary := &benchpb.UpSummary{}
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(summary)
		}
		if err != nil {
			return err
		}
		s.received.Add(1)
		summary.Messages++
		summary.Bytes += uint64(len(message.Data))
	}
}

func (s *server) Echo(stream grpc.BidiStreamingServer[benchpb.Payload, benchpb.Payload]) error {
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.received.Add(1)
		if err := stream.Send(message); err != nil {
			return err
		}
		s.out.Add(1)
	}
}

func (s *server) Subscribe(_ *benchpb.SubscribeRequest, stream grpc.ServerStreamingServer[benchpb.Event]) error {
	me := &subscriber{make(chan *benchpb.Event, s.capacity), stream.Context().Done()}
	s.mutex.Lock()
	s.subscribers[me] = struct{}{}
	s.mutex.Unlock()
	defer func() {
		s.mutex.Lock()
		delete(s.subscribers, me)
		s.mutex.Unlock()
	}()
	if err := stream.Send(&benchpb.Event{}); err != nil {
		return err
	}
	for {
		select {
		case event := <-me.events:
			if err := stream.Send(event); err != nil {
				return err
			}
			s.out.Add(1)
		case <-me.gone:
			return stream.Context().Err()
		}
	}
}

func (s *server) Publish(_ context.Context, request *benchpb.PublishRequest) (*benchpb.PublishReply, error) {
	s.mutex.Lock()
	subscribers := make([]*subscriber, 0, len(s.subscribers))
	for each := range s.subscribers {
		subscribers = append(subscribers, each)
	}
	s.mutex.Unlock()
	document := makeDocument()
	data := []byte(strings.Repeat("x", int(request.Size)))
	for sequence := range request.Count {
		event := &benchpb.Event{Sequence: sequence + 1}
		if request.Size == 0 {
			event.Body = &benchpb.Event_Document{Document: document}
		} else {
			event.Body = &benchpb.Event_Data{Data: data}
		}
		for _, each := range subscribers {
			select {
			case each.events <- event:
			case <-each.gone:
			}
		}
	}
	return &benchpb.PublishReply{Subscribers: uint64(len(subscribers))}, nil
}

func makeDocument() *benchpb.Document {
	document := &benchpb.Document{
		Title:     "A document that costs something to serialise",
		Published: true,
		Labels:    map[string]string{},
		Counters:  map[string]uint64{},
	}
	for i := range uint32(128) {
		section := &benchpb.Document_Section{
			Title:  "Section " + strconv.Itoa(int(i)),
			Text:   "The quick brown fox jumps over the lazy dog.",
			Weight: float64(i) * 0.5,
			Author: &benchpb.Document_Author{
				Name: "Author " + strconv.Itoa(int(i%7)),
				Mail: "author@example.com",
				Id:   uint64(i),
			},
		}
		for mark := range uint32(8) {
			section.Marks = append(section.Marks, i*mark)
		}
		document.Sections = append(document.Sections, section)
	}
	for i := range 32 {
		document.Labels["label-"+strconv.Itoa(i)] = "value-" + strconv.Itoa(i)
		document.Counters["counter-"+strconv.Itoa(i)] = uint64(i) * 1000
		document.Samples = append(document.Samples, int64(i)-16)
	}
	return document
}

func main() {
	port := flag.Int("port", 0, "port to listen on; 0 takes a free one")
	threads := flag.Int("threads", 1, "GOMAXPROCS")
	capacity := flag.Int("capacity", 64, "events a subscriber's queue holds")
	window := flag.Int("window", 0, "bytes a stream may have in flight; 0 leaves the default")
	lifetime := flag.Int("lifetime", 900, "seconds after which the server ends by itself")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)

	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(*port))
	if err != nil {
		log.Fatal(err)
	}
	var options []grpc.ServerOption
	if *window > 0 {
		options = append(options, grpc.InitialWindowSize(int32(*window)))
	}
	service := &server{capacity: *capacity, subscribers: map[*subscriber]struct{}{}}
	engine := grpc.NewServer(options...)
	benchpb.RegisterBenchServer(engine, service)
	go engine.Serve(listener)
	fmt.Printf("{\"ready\": true, \"port\": %d}\n", listener.Addr().(*net.TCPAddr).Port)

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	select {
	case <-stop:
	case <-time.After(time.Duration(*lifetime) * time.Second):
	}
	engine.Stop()
	fmt.Printf("{\"unary\": %d, \"received\": %d, \"sent\": %d}\n",
		service.unary.Load(), service.received.Load(), service.out.Load())
}
