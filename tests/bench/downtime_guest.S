/* SPDX-License-Identifier: MIT */
/*
 * The guest of the downtime benchmark, the same work in the same instructions under any virtual
 * machine monitor. With FIRMWARE it is all the firmware that a PC has, copies itself to RAM and goes
 * to long mode; else it is entered in long mode, with memory standing where it stands, as tinyvmm
 * does that.
 *
 * It waits until the benchmark has written into its memory what it is to do; writes to each page of
 * the memory that is to be filled, its own address; and then either halts for good or goes round the
 * working set, adding 1 to the second word of each page, and to a count of pages that the benchmark
 * looks at. The benchmark may have it wait behind each page. downtime_guest.py has the same numbers.
 */
#define ORDERS 0x8000     /* the benchmark's, 64 bits each */
#define FILL_BEGIN 0x00
#define FILL_END 0x08
#define WORK_BEGIN 0x10
#define WORK_END 0x18
#define WORK_STEP 0x20    /* 0: halt */
#define WORK_DELAY 0x28   /* turns of a loop behind each page; 0: it stays 0 */
#define GO 0x30           /* written last */
#define PROGRESS 0x9000   /* the guest's */
#define STATE 0x00
#define WAITING 1
#define FILLED 2
#define PAGES 0x08

#define PAGE 4096

#ifdef FIRMWARE

#define LEVEL4 0x1000
#define LEVEL3 0x2000
#define LEVEL2 0x3000     /* four of them */
#define PRESENT_WRITABLE 3
#define LARGE 0x80

#define COPY 0x7c00       /* the address that it is linked to */
#define COPY_BYTES 512
#define ROM_SEGMENT 0xf000
#define ROM_BYTES 0x10000
#define ROM_ENTRY 0xff00

	.code16
	.globl start
start:
	cli
	cld
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $COPY, %sp
	in $0x92, %al             /* address line 20 */
	or $2, %al
	and $0xfe, %al
	out %al, $0x92

	xor %eax, %eax            /* orders, progress and page tables */
	mov $LEVEL4, %di
	mov $(0x6000 / 4), %cx
	rep stosl
	mov $ORDERS, %di
	mov $(0x2000 / 4), %cx
	rep stosl
	movl $(LEVEL3 | PRESENT_WRITABLE), LEVEL4
	mov $LEVEL3, %di
	mov $(LEVEL2 | PRESENT_WRITABLE), %eax
1:	mov %eax, (%di)
	add $8, %di
	add $PAGE, %eax
	cmp $(LEVEL2 + 4 * PAGE | PRESENT_WRITABLE), %eax
	jne 1b
	mov $LEVEL2, %di
	mov $(LARGE | PRESENT_WRITABLE), %eax
2:	mov %eax, (%di)
	add $8, %di
	add $0x200000, %eax
	jnc 2b                    /* up to 4 GiB */

	lgdtl gdtr
	mov %cr4, %eax
	or $0x20, %eax            /* physical address extension */
	mov %eax, %cr4
	mov $LEVEL4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx     /* EFER: long mode */
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000001, %eax      /* protected and paged */
	mov %eax, %cr0
	ljmpl $8, $long_mode

	.code64
long_mode:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	jmp wait

	.balign 8
gdt:	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
gdtr:	.word gdtr - gdt - 1
	.long gdt

#else

	.code64
	.globl start
start:

#endif

wait:
	movq $WAITING, PROGRESS + STATE
5:	pause
	cmpq $0, ORDERS + GO
	je 5b

	mov ORDERS + FILL_BEGIN, %rdi
3:	cmp ORDERS + FILL_END, %rdi
	jae filled
	mov %rdi, (%rdi)
	add $PAGE, %rdi
	jmp 3b
filled:
	movq $FILLED, PROGRESS + STATE

	mov ORDERS + WORK_END, %rsi
	mov ORDERS + WORK_STEP, %rdx
	test %rdx, %rdx
	jz halt
	cmpq $0, ORDERS + WORK_DELAY
	jne slow_round
round:
	mov ORDERS + WORK_BEGIN, %rdi
4:	incq 8(%rdi)
	incq PROGRESS + PAGES
	add %rdx, %rdi
	cmp %rsi, %rdi
	jb 4b
	jmp round

slow_round:
	mov ORDERS + WORK_BEGIN, %rdi
6:	incq 8(%rdi)
	incq PROGRESS + PAGES
	mov ORDERS + WORK_DELAY, %rcx
7:	loop 7b                   /* one instruction a turn: under some KVMs each is slow */
	add %rdx, %rdi
	cmp %rsi, %rdi
	jb 6b
	jmp slow_round

halt:
	hlt
	jmp halt

#ifdef FIRMWARE
	.org COPY_BYTES           /* there is no way back: more would not be assembled */
	.org ROM_ENTRY
	.code16
	cld
	mov $ROM_SEGMENT, %ax
	mov %ax, %ds
	xor %ax, %ax
	mov %ax, %es
	xor %si, %si
	mov $COPY, %di
	mov $(COPY_BYTES / 2), %cx
	rep movsw
	ljmp $0, $COPY

	.org ROM_BYTES - 16       /* where a processor begins */
	ljmp $ROM_SEGMENT, $ROM_ENTRY
	.org ROM_BYTES
#endif
