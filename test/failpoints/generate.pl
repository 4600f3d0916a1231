# From points.list: the functions that stand before those of the list, the linker's flags
# for them, and their names for points.c.
#
#   generate.pl LIST LIBRARY DIRECTORY
#
# LIBRARY is the extension as it is built otherwise; what it calls is all that is wrapped.
# Writes before.S, wrap.flags and names.h.

use strict;
use warnings;

my ($list, $library, $directory) = @ARGV;
die "usage: generate.pl LIST LIBRARY DIRECTORY\n" unless defined $directory;

my %called = map { $_ => 1 } map { /\bU (\w+)/ ? $1 : () } `nm -D --undefined-only $library`;
die "$library calls nothing\n" unless %called;

my (@points, %known);
open my $fh, '<', $list or die "$list: $!\n";
while (<$fh>)
{
	next if /^\s*(?:#|$)/;
	my ($class, $name, $value) = /^(memory|malloc|curl|spi|commit|system|never) (\w+)(?: (.+))?$/ or die "$list line $.: $_";
	die "$list line $.: $name is there twice\n" if $known{$name}++;
	push @points, { class => $class, name => $name, value => $value } if $class ne 'never' && $called{$name};
}
close $fh;

my $may_fail = qr/alloc|strdup|StringInfo|^construct_|^cstring_to|^SPI_|^curl_|Transaction(?!IdIs)|Snapshot$/;
my @forgotten = grep { /$may_fail/ && !/^(?:GetActive|PopActive|Unregister)Snapshot$/ && !$known{$_} } sort keys %called;
die "the library calls what points.list does not know: @forgotten\n" if @forgotten;

sub write_file
{
	my ($name, @lines) = @_;
	open my $out, '>', "$directory/$name" or die "$directory/$name: $!\n";
	print $out @lines;
	close $out or die "$directory/$name: $!\n";
	return;
}

# Saves what a call hands over in registers, asks, and goes on to the real one as if
# nothing had been; or returns the value.  An ERROR leaves from within.  points.c looks
# through these functions at the callers, hence the unwind information.
my @before = <<'ASM';
	.text
wa_before:
	.cfi_startproc
	pushq %rax
	.cfi_adjust_cfa_offset 8
	pushq %rdi
	.cfi_adjust_cfa_offset 8
	pushq %rsi
	.cfi_adjust_cfa_offset 8
	pushq %rdx
	.cfi_adjust_cfa_offset 8
	pushq %rcx
	.cfi_adjust_cfa_offset 8
	pushq %r8
	.cfi_adjust_cfa_offset 8
	pushq %r9
	.cfi_adjust_cfa_offset 8
	subq $128, %rsp
	.cfi_adjust_cfa_offset 128
	movdqu %xmm0, 0(%rsp)
	movdqu %xmm1, 16(%rsp)
	movdqu %xmm2, 32(%rsp)
	movdqu %xmm3, 48(%rsp)
	movdqu %xmm4, 64(%rsp)
	movdqu %xmm5, 80(%rsp)
	movdqu %xmm6, 96(%rsp)
	movdqu %xmm7, 112(%rsp)
	movl %r11d, %edi
	movq 192(%rsp), %rsi
	leaq 128(%rsp), %rdx
	subq $8, %rsp
	.cfi_adjust_cfa_offset 8
	call wa_fail_point@PLT
	addq $8, %rsp
	.cfi_adjust_cfa_offset -8
	movl %eax, %r11d
	movdqu 0(%rsp), %xmm0
	movdqu 16(%rsp), %xmm1
	movdqu 32(%rsp), %xmm2
	movdqu 48(%rsp), %xmm3
	movdqu 64(%rsp), %xmm4
	movdqu 80(%rsp), %xmm5
	movdqu 96(%rsp), %xmm6
	movdqu 112(%rsp), %xmm7
	addq $128, %rsp
	.cfi_adjust_cfa_offset -128
	popq %r9
	.cfi_adjust_cfa_offset -8
	popq %r8
	.cfi_adjust_cfa_offset -8
	popq %rcx
	.cfi_adjust_cfa_offset -8
	popq %rdx
	.cfi_adjust_cfa_offset -8
	popq %rsi
	.cfi_adjust_cfa_offset -8
	popq %rdi
	.cfi_adjust_cfa_offset -8
	popq %rax
	.cfi_adjust_cfa_offset -8
	ret
	.cfi_endproc
ASM
my @names;
foreach my $id (0 .. $#points)
{
	my ($name, $value) = @{ $points[$id] }{qw(name value)};

	# points.c has it, for the sake of libcurl's own allocations.
	next if $name eq 'curl_global_init';

	push @before, <<"ASM";
	.globl __wrap_$name
	.hidden __wrap_$name
	.type __wrap_$name, \@function
__wrap_$name:
	.cfi_startproc
	movl \$$id, %r11d
	call wa_before
	testl %r11d, %r11d
	jnz 1f
	jmp __real_$name\@PLT
1:	movq \$@{[ $value // 0 ]}, %rax
	ret
	.cfi_endproc
ASM
}
foreach my $point (@points)
{
	push @names, sprintf "{\"%s\", WA_FAIL_%s, %s},\n", $point->{name}, uc $point->{class}, defined $point->{value} ? 'false' : 'true';
}
push @before, "\t.section .note.GNU-stack,\"\",\@progbits\n";

write_file('before.S', @before);
write_file('names.h', @names);
write_file('wrap.flags', map { "--wrap=$_->{name}\n" } @points);
