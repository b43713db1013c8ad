// Echo, discard and chargen on gVisor's netstack, on a TUN device.
//
//	gvisor [--plain] --descriptor N --address A.B.C.D/LENGTH
//
// Says "ready" when it listens, and ends when its input does.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const (
	mtu    = 1500
	nic    = 1
	chunk  = 256 << 10
	buffer = 4 << 20 // what the kernel's sockets grow to, too
)

func fail(what string, why interface{}) {
	fmt.Fprintf(os.Stderr, "gvisor: %s: %v\n", what, why)
	os.Exit(1)
}

func echo(connection net.Conn) {
	data := make([]byte, chunk)
	for {
		count, err := connection.Read(data)
		if err != nil {
			return
		}
		if _, err := connection.Write(data[:count]); err != nil {
			return
		}
	}
}

// Tells at the end how much it was, in 8 bytes.
func discard(connection net.Conn) {
	data := make([]byte, chunk)
	var total uint64
	for {
		count, err := connection.Read(data)
		total += uint64(count)
		if err == nil {
			continue
		}
		if err == io.EOF {
			binary.BigEndian.PutUint64(data, total)
			connection.Write(data[:8])
		}
		return
	}
}

// Sends until the peer has closed its side.
func chargen(connection net.Conn) {
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, connection)
		close(ended)
	}()
	data := make([]byte, chunk)
	for {
		select {
		case <-ended:
			return
		default:
			if _, err := connection.Write(data); err != nil {
				return
			}
		}
	}
}

func serve(s *stack.Stack, port uint16, application func(net.Conn)) {
	address := tcpip.FullAddress{NIC: nic, Port: port}
	listener, err := gonet.ListenTCP(s, address, ipv4.ProtocolNumber)
	if err != nil {
		fail("listen", err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				application(connection)
				connection.Close()
			}()
		}
	}()
}

// With plain packets by netstack's own endpoint, else with offload by ours.
func newEndpoint(descriptor int, plain bool) stack.LinkEndpoint {
	if !plain {
		return newOffloadLink(descriptor)
	}
	endpoint, err := fdbased.New(&fdbased.Options{FDs: []int{descriptor}, MTU: mtu})
	if err != nil {
		fail("the device", err)
	}
	return endpoint
}

func newStack(endpoint stack.LinkEndpoint, own net.IP, length int) *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	sack := tcpip.TCPSACKEnabled(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: buffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: buffer}
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &receive, &send, &moderate} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			fail("option", err)
		}
	}
	if err := s.CreateNIC(nic, endpoint); err != nil {
		fail("the device", err)
	}
	address := tcpip.ProtocolAddress{
		Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{
			Address:   tcpip.Address(own.To4()),
			PrefixLen: length,
		},
	}
	if err := s.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
		fail("the address", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return s
}

func main() {
	plain := flag.Bool("plain", false, "without offload, on a device without a virtio header")
	descriptor := flag.Int("descriptor", -1, "of the TUN device")
	address := flag.String("address", "", "with its prefix length")
	flag.Parse()
	own, network, err := net.ParseCIDR(*address)
	if err != nil || *descriptor < 0 {
		fail("--descriptor and --address are needed", err)
	}
	length, _ := network.Mask.Size()
	s := newStack(newEndpoint(*descriptor, *plain), own, length)
	serve(s, 7, echo)
	serve(s, 9, discard)
	serve(s, 19, chargen)
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}
