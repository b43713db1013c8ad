package main

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/bufferv2"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/rawfile"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	vnetHeader   = 10 // bytes of struct virtio_net_hdr
	needsCsum    = 1  // in its flags
	segmentsTCP4 = 1  // its gso_type
	superSegment = 65535
	offloads     = 0x1 | 0x2 // TUN_F_CSUM, TUN_F_TSO4
	smallPacket  = 2048
)

// A TUN device with a virtio header, so that it carries super-segments: netstack's own
// endpoint for descriptors does that on sockets only.
type offloadLink struct {
	device     int
	stop       int
	dispatcher stack.NetworkDispatcher
}

func newOffloadLink(device int) *offloadLink {
	if err := unix.IoctlSetInt(device, unix.TUNSETOFFLOAD, offloads); err != nil {
		fail("offload", err)
	}
	if err := unix.SetNonblock(device, true); err != nil {
		fail("the device", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_NONBLOCK)
	if err != nil {
		fail("eventfd", err)
	}
	return &offloadLink{device: device, stop: stop}
}

func (l *offloadLink) MTU() uint32                             { return mtu }
func (l *offloadLink) MaxHeaderLength() uint16                 { return 0 }
func (l *offloadLink) LinkAddress() tcpip.LinkAddress          { return "" }
func (l *offloadLink) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (l *offloadLink) AddHeader(stack.PacketBufferPtr)         {}
func (l *offloadLink) IsAttached() bool                        { return l.dispatcher != nil }
func (l *offloadLink) Wait()                                   {}
func (l *offloadLink) GSOMaxSize() uint32                      { return superSegment }
func (l *offloadLink) SupportedGSO() stack.SupportedGSO        { return stack.HostGSOSupported }
func (l *offloadLink) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload // what leaves is told in each packet's GSO options
}

func (l *offloadLink) Attach(dispatcher stack.NetworkDispatcher) {
	l.dispatcher = dispatcher
	if dispatcher != nil {
		go l.receive()
	}
}

// Reads each packet into two views, of which a small one needs the first only.
func (l *offloadLink) receive() {
	head := make([]byte, vnetHeader)
	var small, large *bufferv2.View
	for {
		if small == nil {
			small = bufferv2.NewViewSize(smallPacket)
		}
		if large == nil {
			large = bufferv2.NewViewSize(superSegment)
		}
		count, err := rawfile.BlockingReadvUntilStopped(l.stop, l.device, []unix.Iovec{
			rawfile.IovecFromBytes(head),
			rawfile.IovecFromBytes(small.AsSlice()),
			rawfile.IovecFromBytes(large.AsSlice()),
		})
		if err != nil {
			fail("the device", err)
		}
		length := count - vnetHeader
		if length <= 0 {
			continue
		}
		var payload bufferv2.Buffer
		if length <= smallPacket {
			small.CapLength(length)
		}
		payload.Append(small)
		small = nil
		if length > smallPacket {
			large.CapLength(length - smallPacket)
			payload.Append(large)
			large = nil
		}
		packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
		l.dispatcher.DeliverNetworkPacket(ipv4.ProtocolNumber, packet)
		packet.DecRef()
	}
}

func (l *offloadLink) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	for sent, packet := range packets.AsSlice() {
		slices := packet.AsSlices()
		vectors := make([]unix.Iovec, 0, len(slices)+1)
		vectors = rawfile.AppendIovecFromBytes(vectors, vnetOf(packet), rawfile.MaxIovs)
		for _, slice := range slices {
			vectors = rawfile.AppendIovecFromBytes(vectors, slice, rawfile.MaxIovs)
		}
		if err := rawfile.NonBlockingWriteIovec(l.device, vectors); err != nil {
			return sent, err
		}
	}
	return packets.Len(), nil
}

// The header in front of a packet: what the device has to do with it.
func vnetOf(packet stack.PacketBufferPtr) []byte {
	head := make([]byte, vnetHeader)
	options := packet.GSOOptions
	if options.Type == stack.GSONone {
		return head
	}
	if options.NeedsCsum {
		head[0] = needsCsum
		binary.LittleEndian.PutUint16(head[6:], options.L3HdrLen)
		binary.LittleEndian.PutUint16(head[8:], options.CsumOffset)
	}
	if packet.Data().Size() > int(options.MSS) {
		head[1] = segmentsTCP4
		binary.LittleEndian.PutUint16(head[2:], uint16(packet.HeaderSize()))
		binary.LittleEndian.PutUint16(head[4:], options.MSS)
	}
	return head
}
